"""PgBouncer and Redis with the commands and files of their manifests."""

import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from script.stack.files import temporary_directory
from script.stack.ports import LOOPBACK, free_port
from script.stack.redis import find_binary
from shared.settings import settings
from tests.kubernetes.conftest import Manifest, only, pods
from tests.support.pgbouncer import needs_pgbouncer, running
from tests.support.polling import eventually

FROM_1_21 = "max_prepared_statements = 200\n"
"""The option that Debian's PgBouncer 1.18 does not know."""


@pytest.fixture
def pooled(production: list[Manifest]) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The URL of the test's database through the PgBouncer of the component, and its process."""
    server, port = conninfo_to_dict(settings().database_url.get_secret_value()), free_port()
    assert server["user"] == "waymark"
    text = str(only(production, "ConfigMap", "pgbouncer")["data"]["pgbouncer.ini"])
    assert FROM_1_21 in text
    with temporary_directory("waymark-pgbouncer-") as folder:
        text = text.replace(FROM_1_21, "").replace("listen_port = 6432", f"listen_port = {port}")
        (folder / "pgbouncer.ini").write_text(text.replace("/etc/pgbouncer", str(folder)))
        # The Secret, as docs/kubernetes.md creates it.
        address = "waymark = host={host} port={port} dbname={dbname}".format(**server)
        (folder / "databases.ini").write_text(f"[databases]\n{address}")
        (folder / "userlist.txt").write_text('"waymark" "{password}"'.format(**server))
        url = f"postgresql://waymark:{server['password']}@{LOOPBACK}:{port}/waymark"
        with running(folder, url) as process:
            yield url, process


@needs_pgbouncer
def test_pooler_of_the_component_ends_after_running_transactions(
    production: list[Manifest], pooled: tuple[str, "subprocess.Popen[bytes]"]
) -> None:
    url, process = pooled
    (container,) = pods(production)["pgbouncer"]["containers"]
    shell = container["lifecycle"]["preStop"]["exec"]["command"]
    assert shlex.split(shell[2]) == ["sleep", "5", "&&", "kill", "-INT", "1", "&&", "sleep", "30"]
    with pytest.raises(psycopg.OperationalError, match=r"(?i)auth|password"):
        psycopg.connect(make_conninfo(url, password="guessed"))
    with (
        psycopg.connect(url, options="-c statement_timeout=1000", prepare_threshold=None) as working,
        psycopg.connect(url, autocommit=True, prepare_threshold=None) as idle,
    ):
        assert working.execute("SELECT count(*) FROM players").fetchone() == (0,)
        process.send_signal(signal.SIGINT)
        with pytest.raises(psycopg.OperationalError):
            eventually(lambda: idle.execute("SELECT 1") is None)
        working.execute("CREATE TABLE written_while_stopping ()")
        working.commit()
        assert process.wait(30) == 0
    with psycopg.connect(settings().database_url.get_secret_value(), autocommit=True) as direct:
        direct.execute("DROP TABLE written_while_stopping")


def other_address() -> str:
    """Return an address of this machine that is not its loopback."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family.name == "AF_INET" and not each.address.startswith("127."):
                return str(each.address)
    pytest.skip("this machine has only its loopback address")


@contextmanager
def redis_server(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_redis_of_the_trial_accepts_other_hosts_and_evicts_nothing(
    rendered: dict[str, list[Manifest]], tmp_path: Path
) -> None:
    pod = only(rendered["trial"], "StatefulSet", "redis")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = container["volumeMounts"]
    program, *arguments = container["command"]
    assert (program, arguments.count(mount["mountPath"])) == ("redis-server", 1)
    arguments = [str(tmp_path) if each == mount["mountPath"] else each for each in arguments]
    port, address = free_port(), other_address()

    with redis_server([str(find_binary()), *arguments, "--port", str(port)]):
        client = redis.Redis(host=address, port=port, decode_responses=True)
        eventually(lambda: answers(client))
        client.set("waymark", "kept")
        found = client.config_get("maxmemory-policy", "appendonly")

    assert found == {"maxmemory-policy": "noeviction", "appendonly": "yes"}
    assert any(path.is_file() for path in tmp_path.rglob("*.aof"))


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
