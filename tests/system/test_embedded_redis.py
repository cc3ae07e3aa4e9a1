from __future__ import annotations

import os
import signal
import stat
from typing import TYPE_CHECKING

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from script.stack import EmbeddedRedis, StoreError
from script.stack.files import temporary_directory
from script.stack.redis import find_binary
from tests.support.polling import eventually, have_exited

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def data() -> Iterator[Path]:
    with temporary_directory("waymark-test-") as directory:
        yield directory


def test_never_evicts_and_appends_to_a_file(data: Path) -> None:
    with EmbeddedRedis(data) as store, redis.Redis.from_url(store.url, decode_responses=True) as client:
        wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "bind": "127.0.0.1"}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_requires_the_password_and_does_not_expose_it(data: Path) -> None:
    with EmbeddedRedis(data, durable=False) as store:
        password = (data / "password").read_text()
        stranger = redis.Redis(port=store.port or 0, retry=Retry(NoBackoff(), 0))
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert store.pid
        assert password not in " ".join(psutil.Process(store.pid).cmdline())
        for name in ("password", "redis.conf"):
            assert stat.S_IMODE((data / name).stat().st_mode) == 0o600


def test_data_and_address_survive_a_restart_and_a_crash(data: Path) -> None:
    with EmbeddedRedis(data) as store, redis.Redis.from_url(store.url) as client:
        client.set("kept", "42")
        first_url = store.url
    with EmbeddedRedis(data) as store, redis.Redis.from_url(store.url) as client:
        assert store.url == first_url
        assert client.get("kept") == b"42"
        assert store.pid
        os.kill(store.pid, signal.SIGKILL)
    with EmbeddedRedis(data) as store, redis.Redis.from_url(store.url) as client:
        assert client.get("kept") == b"42"


def test_stops_the_server_of_a_killed_run(data: Path) -> None:
    running = EmbeddedRedis(data)
    running.start()
    try:
        with EmbeddedRedis(data) as store:
            assert store.pid != running.pid
            assert store.problem() is None
            assert eventually(lambda: running.pid and have_exited([running.pid]))
    finally:
        running.stop()


def test_leaves_another_process_with_its_old_pid_alone(data: Path) -> None:
    with EmbeddedRedis(data):
        pass
    (data / "redis.pid").write_text(f"{os.getpid()}\n")
    with EmbeddedRedis(data) as store:
        assert store.problem() is None


def test_a_failed_start_reports_the_end_of_the_log(data: Path) -> None:
    with EmbeddedRedis(data):
        pass
    for name in ("appendonly.aof", "appendonlydir"):
        if (data / name).exists():
            (data / name).rename(data / f"{name}.old")
    (data / "appendonly.aof").write_bytes(b"not an append-only file")
    with pytest.raises(StoreError, match=r"(?s)ended with status 1.*Bad file format"):
        EmbeddedRedis(data).start()


def test_says_what_to_install_when_there_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StoreError, match="apt-get install redis-server"):
        find_binary()


def test_a_server_on_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / "valkey-server"
    server.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == server
