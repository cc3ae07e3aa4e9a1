"""PgBouncer and Redis with the commands and files of their manifests."""

import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from script.stack.files import temporary_directory
from script.stack.ports import LOOPBACK, free_port
from script.stack.redis import find_binary
from shared.infra.db import Conn
from shared.settings import settings
from tests.kubernetes.conftest import Manifest, only, pods
from tests.support.factories import make_player
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
        with running(folder, url) as own:
            yield url, own.process


@needs_pgbouncer
def test_pooler_of_the_component_ends_after_running_transactions(
    production: list[Manifest], conn: Conn, pooled: tuple[str, "subprocess.Popen[bytes]"]
) -> None:
    url, process = pooled
    (container,) = pods(production)["pgbouncer"]["containers"]
    shell = container["lifecycle"]["preStop"]["exec"]["command"]
    assert shlex.split(shell[2]) == ["sleep", "5", "&&", "kill", "-INT", "1", "&&", "sleep", "30"]
    with pytest.raises(psycopg.OperationalError, match=r"(?i)auth|password"):
        psycopg.connect(make_conninfo(url, password="guessed"))
    with psycopg.connect(url, options="-c statement_timeout=1000", prepare_threshold=None) as working:
        assert working.execute("SELECT count(*) FROM players").fetchone() == (0,)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        make_player(working)
        working.commit()
        assert process.wait(30) == 0
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)


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
    port = free_port()

    with redis_server([str(find_binary()), *arguments, "--port", str(port), "--bind", LOOPBACK]):
        client = redis.Redis(host=LOOPBACK, port=port, decode_responses=True)
        eventually(lambda: answers(client))
        client.set("waymark", "kept")
        found = {name: client.config_get(name)[name] for name in ("maxmemory-policy", "appendonly", "protected-mode")}

    # In protected mode, Redis without a password refuses every other host.
    assert found == {"maxmemory-policy": "noeviction", "appendonly": "yes", "protected-mode": "no"}
    assert any(path.is_file() for path in tmp_path.rglob("*.aof"))


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
