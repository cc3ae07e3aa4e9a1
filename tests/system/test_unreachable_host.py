"""The host of the leaders becomes unreachable: its packets are dropped, and no connection is closed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from script.stack import postgres, temporary_postgres
from script.stack.files import open_log
from script.stack.process import Command, kill_group
from script.stack.running_server import CHECKOUT
from tests.support.polling import eventually

HERE, THERE = "10.213.77.1", "10.213.77.2"
WRONG_ADDRESS = "02:00:00:00:00:99"
LEADERS = ("scheduler", "relay")
WITHIN_SECONDS = 30.0
"""The promise is 20 seconds, with the default of LEADER_SILENCE_SECONDS. The rest is for a busy machine."""


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True, capture_output=True)  # noqa: S607


class Host:
    """A network namespace, which a pair of virtual devices connects to this one."""

    def __init__(self, number: int) -> None:
        self.name, self._near, self._far = f"waymark-{number}", f"wn{number}", f"wf{number}"

    def create(self) -> None:
        ip("netns", "add", self.name)
        ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.name)
        ip("addr", "add", f"{HERE}/30", "dev", self._near)
        ip("link", "set", self._near, "up")
        for arguments in (("addr", "add", f"{THERE}/30", "dev", self._far), ("link", "set", self._far, "up")):
            ip("-n", self.name, *arguments)

    def cut_off(self) -> None:
        """Drop the packets in both directions: they have a link-layer address that no device has."""
        permanent = ("lladdr", WRONG_ADDRESS, "nud", "permanent")
        ip("neigh", "replace", THERE, "dev", self._near, *permanent)
        ip("-n", self.name, "neigh", "replace", HERE, "dev", self._far, *permanent)

    def connect_again(self) -> None:
        ip("neigh", "del", THERE, "dev", self._near)
        ip("-n", self.name, "neigh", "del", HERE, "dev", self._far)

    def remove(self) -> None:
        with suppress(subprocess.CalledProcessError):
            ip("netns", "del", self.name)


def can_create() -> bool:
    """Return whether this process may create namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    host = Host(os.getpid())
    try:
        host.create()
    except subprocess.CalledProcessError:
        return False
    finally:
        host.remove()
    return True


pytestmark = [pytest.mark.system, pytest.mark.long]


@pytest.fixture
def host() -> Iterator[Host]:
    if not can_create():
        pytest.skip("needs root, the package iproute2, and the right to create network namespaces")
    made = Host(os.getpid())
    made.create()
    yield made
    made.remove()


@pytest.fixture
def database_url(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A PostgreSQL that both hosts reach under one address."""
    monkeypatch.setitem(postgres.SETTINGS, "listen_addresses", f"127.0.0.1,{HERE}")
    with temporary_postgres() as store, psycopg.connect(store.url, autocommit=True) as conn:
        (rules,) = conn.execute("SHOW hba_file").fetchone() or ("",)
        with Path(rules).open("a") as lines:
            lines.write("host all all 10.213.77.0/30 scram-sha-256\n")
        conn.execute("SELECT pg_reload_conf()")
        parts = urlsplit(store.url)
        url = urlunsplit(parts._replace(netloc=parts.netloc.replace("127.0.0.1", HERE)))
        subprocess.run(
            (sys.executable, "-m", "migrations"), cwd=CHECKOUT, env=os.environ | {"DATABASE_URL": url}, check=True
        )
        yield url


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Callable[[], str]]]:
    """Start a process, with the words before its command. Return a function that reads its output."""
    started: list[subprocess.Popen[bytes]] = []
    environment = os.environ | {
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "PYTHONPATH": str(CHECKOUT),
    }

    def run(name: str, *before: str) -> Callable[[], str]:
        log = tmp_path / f"{len(started)}.log"
        command = Command((*before, sys.executable, "-m", f"workers.{name}"), environment=environment)
        with open_log(log) as output:
            started.append(
                subprocess.Popen(
                    command.leashed(), env=environment, stdout=output, stderr=output, start_new_session=True
                )
            )
        return log.read_text

    yield run
    for each in started:
        kill_group(each.pid)
        each.wait()


def test_standby_leads_once_the_host_of_the_leader_is_unreachable(
    host: Host, start: Callable[..., Callable[[], str]]
) -> None:
    leaders = {name: start(name, "ip", "netns", "exec", host.name) for name in LEADERS}
    eventually(lambda: all("leader_elected" in leaders[name]() for name in LEADERS))
    standbys = {name: start(name) for name in LEADERS}
    eventually(lambda: all("leader_standby" in standbys[name]() for name in LEADERS))
    assert not any("leader_elected" in standbys[name]() for name in LEADERS)

    host.cut_off()

    eventually(lambda: all("leader_elected" in standbys[name]() for name in LEADERS), within=WITHIN_SECONDS)
    host.connect_again()
    eventually(lambda: all("leader_standby" in leaders[name]() for name in LEADERS))
