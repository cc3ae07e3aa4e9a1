"""PostgreSQL ends the leadership of a silent process. Nothing that the process does later has an effect."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit
from zlib import crc32

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.infra import db, relay_wakeup
from shared.infra.db import Conn, exactly_one
from shared.infra.leader_election import leadership
from shared.settings import settings
from tests.support.factories import append_event
from tests.support.polling import eventually
from tests.support.swallowing_proxy import swallowing_proxy
from workers import relay

SILENCE_SECONDS = "5"
LIMITED, UNLIMITED = "limited", "unlimited"


@pytest.fixture
def leader_writes(conn: Conn) -> Iterator[None]:
    conn.execute("CREATE TABLE leader_writes (name text NOT NULL)")
    yield
    conn.execute("DROP TABLE leader_writes")


@contextmanager
def leader(name: str, *options: str, url: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        (sys.executable, "-m", "tests.infra.leading_process", name, *options),
        env=os.environ | {"LEADER_SILENCE_SECONDS": SILENCE_SECONDS, "LOG_LEVEL": "ERROR", "DATABASE_DIRECT_URL": url},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert printed(process) == "leads"
        yield process
    finally:
        process.kill()
        process.communicate()


def printed(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def write(process: "subprocess.Popen[str]") -> str:
    """Let the process write. Return what it prints."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return printed(process)


@pytest.mark.parametrize("fault", ["suspended", "network drops packets"])
def test_silent_leader_is_replaced_and_cannot_write(conn: Conn, leader_writes: None, fault: str) -> None:
    """The negative control has no limit of its silence, and leads until the end."""
    url = urlsplit(settings().direct_database_url.get_secret_value())
    with swallowing_proxy((str(url.hostname), url.port or 5432)) as proxy:
        proxied = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{proxy.port}")).geturl()
        with leader(LIMITED, url=proxied) as silent, leader(UNLIMITED, "unlimited", url=proxied) as control:
            processes = (silent, control)
            assert [write(each) for each in processes] == ["wrote", "wrote"]
            if fault == "suspended":
                send(signal.SIGSTOP, processes)
            else:
                proxy.swallows.set()

            with leadership(LIMITED, threading.Event()) as standby:
                assert standby is not None
                assert not can_lead(conn, UNLIMITED)
                conn.execute("TRUNCATE leader_writes")
                send(signal.SIGCONT, processes)
                proxy.swallows.clear()
                assert [write(each) for each in processes] == ["lost", "wrote"]
                assert standby.is_held()

    assert conn.execute("SELECT name FROM leader_writes").fetchall() == [(UNLIMITED,)]


def send(number: signal.Signals, processes: Iterable["subprocess.Popen[str]"]) -> None:
    for each in processes:
        each.send_signal(number)


def can_lead(conn: Conn, name: str) -> bool:
    return can_lock(conn, crc32(f"waymark:{name}".encode()))


def can_lock(conn: Conn, number: int) -> bool:
    row = exactly_one(conn.execute("SELECT pg_try_advisory_lock(%(n)s), pg_advisory_unlock(%(n)s)", {"n": number}))
    return bool(row[0])


def test_promise_of_twenty_seconds_holds_with_the_default() -> None:
    retries_and_reconnects = 5
    assert settings().leader_silence_seconds + retries_and_reconnects <= 20


def in_transaction(leader: Conn) -> None:
    leader.execute("BEGIN")


def in_pipeline(leader: Conn) -> None:
    """As a relay that is suspended before its COMMIT. PostgreSQL has no timeout for this state."""
    leader.pgconn.enter_pipeline_mode()
    for command in (b"BEGIN", b"SELECT pg_advisory_xact_lock(1)"):
        leader.pgconn.send_query_params(command, None)
    leader.pgconn.flush()


def after_pipeline(leader: Conn) -> None:
    with leader.pipeline(), leader.transaction():
        leader.execute("SELECT")


def receives_result(leader: Conn) -> None:
    leader.pgconn.send_query(b"SELECT repeat('x', 100000000)")
    leader.pgconn.flush()


STATES: dict[str, Callable[[Conn], object]] = {
    "outside a transaction": lambda _leader: None,
    "in a transaction": in_transaction,
    "in a pipeline": in_pipeline,
    "after a pipeline": after_pipeline,
    "while it receives a result": receives_result,
}


def test_silent_session_ends_in_any_state(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The leaders fall silent side by side, because each takes five seconds to end."""
    monkeypatch.setenv("LEADER_SILENCE_SECONDS", SILENCE_SECONDS)
    settings.cache_clear()
    silent: dict[str, Conn] = {}
    try:
        with ExitStack() as leaders:
            for state, enter in STATES.items():
                first = leaders.enter_context(leadership(state, threading.Event()))
                assert first is not None
                enter(first.conn)
                leaders.callback(first.conn.close)
                if enter is in_pipeline:
                    eventually(lambda: not can_lock(conn, 1))
                silent[state] = first.conn
            for state, ended in silent.items():
                with leadership(state, threading.Event()) as second:
                    assert second is not None
                    wait_until_ended(conn, ended)
    finally:
        settings.cache_clear()


def test_relay_leads_while_redis_is_unavailable(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control is a connection that sends nothing."""
    for module in (relay, relay_wakeup):
        monkeypatch.setattr(module, "client", lambda: redis.Redis(port=9, retry=Retry(NoBackoff(), 0)))
    append_event(conn, "test")
    stopping = threading.Event()
    with db.dedicated_connection() as publishing, db.dedicated_connection() as silent:
        for each in (publishing, silent):
            each.execute("SET idle_session_timeout = '2s'")
        retries = threading.Thread(target=relay.relay_events, args=(publishing, stopping))
        retries.start()
        try:
            wait_until_ended(conn, silent)
            assert is_connected(conn, publishing)
        finally:
            stopping.set()
            retries.join()


def is_connected(conn: Conn, other: Conn) -> bool:
    return conn.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (other.info.backend_pid,)).rowcount == 1


def wait_until_ended(conn: Conn, other: Conn) -> None:
    eventually(lambda: not is_connected(conn, other))
