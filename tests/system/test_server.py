"""script/server with throw-away Procfiles: real processes, real stores."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import redis

from script.server import Options, environment
from script.stack import RunningServer, running_server
from script.stack.files import temporary_directory
from script.stack.orphans import MARK
from script.stack.ports import LOOPBACK, free_port, is_free
from script.stack.running_server import CHECKOUT, ServerFailedError
from tests.support.polling import eventually, have_exited

if TYPE_CHECKING:
    from collections.abc import Iterator

WEB = f"web: python {Path(__file__).with_name('tiny_web.py')}"
WORKER = "worker: sh -c 'sleep 1000 & sleep 1000'"
STUBBORN = """stubborn: sh -c 'trap "" TERM; echo deaf; while :; do sleep 1; done'"""
NO_STORES = {"DATABASE_URL": "postgresql://elsewhere/waymark", "REDIS_URL": "redis://elsewhere/0"}


@pytest.fixture
def data() -> Iterator[Path]:
    with temporary_directory("waymark-test-") as directory:
        yield directory


@pytest.fixture
def procfile(tmp_path: Path) -> Path:
    return tmp_path / "Procfile"


def options(procfile: Path, *lines: str) -> tuple[str, ...]:
    procfile.write_text("\n".join(lines) + "\n")
    return ("--procfile", str(procfile), "--grace", "2")


def family(server: RunningServer) -> list[int]:
    """Every process of a server, itself included, and the stores' children."""
    names = json.loads((server.data / "pids.json").read_text())
    return [pid for name in names for pid in server.pids(name)]


def another_pid(server: RunningServer, name: str, than: list[int]) -> int:
    """The pid of a process once it was started again."""
    pids = eventually(lambda: [pid for pid in server.pids(name)[:1] if pid not in than])
    return pids[0]


@pytest.mark.parametrize("told_by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_runs_everything_and_stops_all_of_it(procfile: Path, data: Path, told_by: signal.Signals) -> None:
    arguments = options(procfile, "release: echo migrated", WEB, WORKER)
    with running_server(data=data, arguments=arguments) as server:
        pids = family(server)
        assert {"web", "worker", "redis", "postgres", "supervisor"} <= json.loads(
            (data / "pids.json").read_text()
        ).keys()
        assert server.output().splitlines()[-1] == f"Waymark is ready at {server.base_url}"
        assert "release   | migrated" in server.output()
        assert server.stop(told_by) == 0
    assert have_exited(pids)
    assert not (data / "urls.env").exists()


def test_urls_env_has_every_address(procfile: Path, data: Path) -> None:
    with running_server(data=data, env={"JWT_SECRET": None}, arguments=options(procfile, WEB)) as server:
        assert list(server.urls) == ["DATABASE_URL", "REDIS_URL", "GRPC_SERVER_URL", "BASE_URL"]
        assert server.urls["BASE_URL"] == server.base_url
        with psycopg.connect(server.urls["DATABASE_URL"]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with redis.Redis.from_url(server.urls["REDIS_URL"]) as client:
            assert client.ping()
        for secret in ("urls.env", "jwt_secret", "server.log", "lock", "pids.json"):
            assert stat.S_IMODE((data / secret).stat().st_mode) == 0o600


def test_servers_that_start_together_have_catalogs_of_their_own(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared one would end with its server."""
    monkeypatch.delenv("GRPC_SERVER_URL", raising=False)
    addresses = []
    for name in ("first", "second", "first"):
        (data / name).mkdir(exist_ok=True)
        options = Options(data / name, free_port(), CHECKOUT / "Procfile", grace=1.0)
        addresses.append(environment(options, {})["GRPC_SERVER_URL"])

    assert addresses[0] == addresses[2] != addresses[1]


def test_processes_get_their_settings_and_the_secret_is_kept(procfile: Path, data: Path) -> None:
    show = "release: sh -c 'echo $PORT $PUBLIC_URL $DATABASE_URL; echo secret=$JWT_SECRET'"
    seen = set()
    for _ in range(2):
        with running_server(
            data=data, env=NO_STORES | {"JWT_SECRET": None}, arguments=options(procfile, show, WEB)
        ) as server:
            port = server.base_url.rpartition(":")[2]
            assert f"{port} {server.base_url} {NO_STORES['DATABASE_URL']}" in server.output()
            seen.add(server.output().partition("secret=")[2].split()[0])
            assert server.pids("postgres") == server.pids("redis") == []
    (secret,) = seen
    assert len(secret) >= 32


def test_starts_again_what_dies(procfile: Path, data: Path) -> None:
    with running_server(data=data, arguments=options(procfile, WEB, WORKER)) as server:
        urls = server.urls
        with psycopg.connect(urls["DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        for name in ("web", "worker", "redis", "postgres"):
            leader, *children = server.pids(name)
            os.kill(leader, signal.SIGKILL)
            assert another_pid(server, name, than=[leader]) != leader
            eventually(partial(have_exited, children))  # a killed process leaves no children behind
        assert server.urls == urls
        eventually(lambda: answers(urls))
        assert "killed by signal 9; starting again" in server.output()


def answers(urls: dict[str, str]) -> bool:
    try:
        with psycopg.connect(urls["DATABASE_URL"]) as connection, redis.Redis.from_url(urls["REDIS_URL"]) as client:
            return connection.execute("SELECT answer FROM kept").fetchone() == (42,) and bool(client.ping())
    except (psycopg.OperationalError, redis.RedisError):
        return False


def test_a_second_server_on_the_same_data_is_refused(procfile: Path, data: Path) -> None:
    arguments = options(procfile, WEB)
    with running_server(data=data, env=NO_STORES, arguments=arguments) as server:
        before = family(server)
        second = subprocess.run(
            [sys.executable, "-m", "script.server", *arguments],
            env={**os.environ, **NO_STORES, "WAYMARK_DATA": str(data), "PORT": str(free_port())},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert second.returncode == 1
        assert f"pid {server.process.pid}, {server.base_url}" in second.stderr
        assert "Traceback" not in second.stderr
        assert family(server) == before


def test_a_port_that_is_taken_is_named(procfile: Path, data: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        starting = running_server(data=data, port=port, env=NO_STORES, arguments=options(procfile, WEB))
        with pytest.raises(ServerFailedError, match=f"port {port} is taken by another program"), starting:
            pass


def test_a_release_that_fails_stops_the_start(procfile: Path, data: Path) -> None:
    arguments = options(procfile, "release: sh -c 'echo no luck; exit 3'", WEB)
    starting = running_server(data=data, arguments=arguments)
    with pytest.raises(ServerFailedError, match="release step ended with status 3") as failure, starting:
        pass
    assert "no luck" in str(failure.value)
    assert "web " not in str(failure.value)
    assert eventually(lambda: is_free(int((data / "redis" / "port").read_text())))


def test_can_be_stopped_half_way(procfile: Path, data: Path) -> None:
    process = launch(data, options(procfile, "release: sleep 1000", WEB))
    eventually(lambda: "release" in started(data))
    pids = list(started(data).values())
    process.terminate()
    assert process.wait(60) == 0
    assert have_exited(pids)


def test_what_does_not_stop_is_killed(procfile: Path, data: Path) -> None:
    with running_server(data=data, env=NO_STORES, arguments=options(procfile, STUBBORN, WEB)) as server:
        eventually(lambda: "deaf" in server.output())
        pids = family(server)
        assert server.stop() == 0
        assert "stubborn  | did not stop within 2 s; killed" in server.output()
    assert have_exited(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals a child when its parent dies")
def test_nothing_outlives_a_killed_supervisor(procfile: Path, data: Path) -> None:
    with running_server(data=data, arguments=options(procfile, WEB, "worker: sleep 1000")) as server:
        pids = family(server)
        server.process.kill()
        assert eventually(lambda: have_exited(pids))


def test_starts_after_everything_was_killed_at_once(procfile: Path, data: Path) -> None:
    arguments = options(procfile, WEB, WORKER)
    with running_server(data=data, arguments=arguments) as server:
        urls = server.urls
        with psycopg.connect(urls["DATABASE_URL"]) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        for pid in family(server):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    with running_server(data=data, arguments=arguments) as server:
        assert server.urls["DATABASE_URL"] == urls["DATABASE_URL"]
        assert answers(server.urls)


def test_the_next_start_stops_orphans_and_only_those(procfile: Path, data: Path) -> None:
    """As a killed supervisor leaves them where no leash exists: here, without one."""
    orphan, bystander = (
        subprocess.Popen(
            ["/bin/sh", "-c", "sleep 1000 & sleep 1000"], env={**os.environ, MARK: mark}, start_new_session=True
        )
        for mark in (str(data.resolve()), f"{data}-of-another")
    )
    children = eventually(lambda: psutil.Process(orphan.pid).children())
    (data / "pids.json").write_text(json.dumps({"worker": bystander.pid}))
    try:
        with running_server(data=data, env=NO_STORES, arguments=options(procfile, WEB)):
            assert orphan.wait(60) != 0
            assert eventually(lambda: have_exited(child.pid for child in children))
            assert bystander.poll() is None
    finally:
        for process in (orphan, bystander):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_reader_that_stops_reading_holds_nothing_up(procfile: Path, data: Path) -> None:
    process = launch(data, options(procfile, "worker: sh -c 'while :; do echo $$; done'"), stdout=subprocess.PIPE)
    eventually(lambda: "worker" in started(data))
    pids = list(started(data).values())
    process.terminate()
    assert process.wait(60) == 0
    assert have_exited(pids)


def launch(data: Path, arguments: tuple[str, ...], stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **NO_STORES, "WAYMARK_DATA": str(data), "PORT": str(free_port())}
    return subprocess.Popen([sys.executable, "-m", "script.server", *arguments], env=environment, stdout=stdout)


def started(data: Path) -> dict[str, int]:
    try:
        pids: dict[str, int] = json.loads((data / "pids.json").read_text())
    except FileNotFoundError:
        return {}
    return pids
