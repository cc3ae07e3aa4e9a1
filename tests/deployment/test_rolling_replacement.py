"""script/deploy replaces real processes behind a real proxy under load: no request fails, and every socket resumes."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from script.stack.files import temporary_directory
from script.stack.ports import free_port
from script.stack.running_server import CHECKOUT
from tests.deployment.proxies import Proxy, caddy, needs_caddy, needs_nginx, nginx, trust_certificate
from tests.deployment.units import Units, fake_systemd
from tests.support.callers import SignedInPlayer, make_staff, sign_in
from tests.support.factories import code_text, make_code
from tests.support.gunicorn_server import is_alive, serving_process
from tests.support.polling import eventually
from tests.system import invariants
from tests.system.follower import Follower, assert_heard_all, logged
from tests.system.load import Load, Scan

pytestmark = pytest.mark.system

OLD, NEW = "v0.0.1", "v0.0.2"
RELEASED = ("migrations", "shared", "web", "workers", "script", "deploy", "Procfile", "alembic.ini", "requirements.txt")
BOOTSTRAP = f"""#!/bin/sh
ln -s {sys.prefix} .venv
"""
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "tag.gpgSign=false")


@dataclass
class Site:
    """A server as in docs/small-server.md: a proxy, two web processes, and releases."""

    root: Path
    url: str
    ports: tuple[int, int]
    units: Units
    path: str

    def deploy(self, version: str) -> None:
        done = subprocess.run(
            ["sh", str(self.root / "repository/script/deploy"), version],  # noqa: S607
            env={
                **os.environ,
                "PATH": f"{self.path}:{os.environ['PATH']}",
                "WAYMARK_DEPLOY_WITH": "systemd",
                "WAYMARK_PORTS": " ".join(map(str, self.ports)),
                "WAYMARK_ROOT": str(self.root),
                "WAYMARK_RUN": str(self.root / "run"),
            },
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.units.output()

    def version_of(self, unit: str) -> str:
        """The release from which the process of a unit was started."""
        return Path(f"/proc/{self.units.running[unit].pid}/cwd").readlink().name


def make_repository(directory: Path) -> None:
    """Two releases that differ in their version, in a clone that can fetch."""
    origin = directory / "origin"
    origin.mkdir()
    for name in RELEASED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, origin / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, origin / name)
    (origin / "script/bootstrap").write_text(BOOTSTRAP)
    subprocess.run([*GIT, "init", "--quiet"], cwd=origin, check=True)
    for version in (OLD, NEW):
        (origin / "shared/version.py").write_text(f'__version__ = "{version[1:]}"\n')
        for command in (("add", "--all"), ("commit", "--quiet", "-m", version), ("tag", version)):
            subprocess.run([*GIT, *command], cwd=origin, check=True)
    subprocess.run([*GIT, "clone", "--quiet", str(origin), str(directory / "repository")], check=True)


@contextmanager
def site(proxy: Proxy) -> Iterator[Site]:
    """Run the first release behind a proxy."""
    with ExitStack() as stack:
        root = stack.enter_context(temporary_directory("waymark-site-"))
        (root / "bin").mkdir()
        make_repository(root)
        ports = free_port(), free_port()
        units = Units(root)
        running = Site(root, stack.enter_context(proxy(root, ports)), ports, units, str(root / "bin"))
        stack.enter_context(fake_systemd(root / "bin", units))
        running.deploy(OLD)
        yield running


def submit_while(deploying: threading.Event, load: Load, players: list[SignedInPlayer], code: str, rate: int) -> int:
    """Submit scans until the event is set, each once. Return their number.

    The rate is lower on a machine that cannot serve it: requests that wait for a thread are limited.
    """
    places = threading.Semaphore(4 * load.threads)

    def submit(scan: Scan) -> None:
        with ExitStack() as stack:
            stack.callback(places.release)
            response = load.ask("POST", "/scan", scan.player, scan.body())
            load.answers[response.status] += 1
            if response.status == 202:
                load.accepted[scan.player.id, scan.nonce] = UUID(response.json()["scan_id"])

    begun = time.monotonic()
    with ThreadPoolExecutor(load.threads) as pool:
        requests = []
        for number in itertools.count():
            if deploying.wait(max(0.0, begun + number / rate - time.monotonic())):
                break
            places.acquire()
            requests.append(pool.submit(submit, Scan(players[number % len(players)], code)))
        for request in requests:
            request.result(60)
    return len(requests)


@contextmanager
def load_of(load: Load, players: list[SignedInPlayer], code: str, rate: int) -> Iterator[None]:
    """Submit scans while the body runs. At its end, assert that the first attempt of each was accepted."""
    ended = threading.Event()
    with ThreadPoolExecutor(1) as background:
        submitted = background.submit(submit_while, ended, load, players, code, rate)
        try:
            yield
        finally:
            ended.set()
        assert load.answers == Counter({202: submitted.result(120)})


@needs_caddy
def test_stop_of_a_web_process_behind_a_proxy_fails_no_request(app: Any, conn: Any, tmp_path: Path) -> None:
    ada = sign_in(app, conn)
    code = code_text(conn, make_code(conn, make_staff(app, conn).org_id, per_player_limit=None))
    with (
        serving_process(tmp_path / "first.log", SHUTDOWN_NOTICE_SECONDS="2") as (first, process),
        serving_process(tmp_path / "second.log") as (second, _),
        caddy(tmp_path, (first, second)) as url,
        ExitStack() as stack,
    ):
        followers = [stack.enter_context(Follower(url, f"/ws/{ada.id}", ada)) for _ in range(4)]

        with load_of(Load(url), [ada], code, rate=20):
            process.terminate()
            assert process.wait(30) == 0

        assert not is_alive(first)
        eventually(lambda: sum(follower.opened for follower in followers) > len(followers))
        closed = [follower for follower in followers if follower.closed_with]
        assert [follower.closed_with for follower in closed] == [[1001]] * len(closed)
        assert [follower.refused for follower in followers] == [[]] * len(followers)
        assert Load(url).ask("GET", "/metrics").status == 404


@pytest.mark.long
@pytest.mark.parametrize(
    "proxy", [pytest.param(caddy, marks=needs_caddy), pytest.param(nginx, marks=needs_nginx)], ids=["caddy", "nginx"]
)
def test_deployment_under_200_scans_per_second_loses_no_request(
    app: Any, conn: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trust_certificate(monkeypatch, tmp_path)
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    players = [sign_in(app, conn) for _ in range(20)]
    code = code_text(conn, make_code(conn, make_staff(app, conn).org_id, per_player_limit=None))
    with site(proxy) as running, ExitStack() as stack:
        load = Load(running.url, threads=32)
        followers = [
            (player, stack.enter_context(Follower(running.url, f"/ws/{player.id}", player))) for player in players
        ]
        for player, _ in followers:
            load.hand_in(Scan(player, code))
        eventually(lambda: all(follower.received for _, follower in followers))
        load.answers.clear()
        before = list(running.units.running)

        with load_of(load, players, code, rate=200):
            running.deploy(NEW)

        assert {running.version_of(unit) for unit in before} == {NEW}
        assert running.units.statuses == [0] * len(before)
        for player, follower in followers:
            # Each socket was closed by the process that ended, and no handshake failed.
            assert (set(follower.closed_with), follower.refused) == ({1001}, [])
            assert_heard_all(follower, partial(logged, os.environ["DATABASE_URL"], player=player.id))
        invariants.assert_settled_once(os.environ["DATABASE_URL"], load.accepted)
