"""The relay publishes and notifies every event, in order, wherever it dies."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.infra import db, event_log, relay_wakeup
from shared.infra.db import Conn
from shared.infra.event_log import Event
from shared.infra.event_sequencer import Sequencer
from shared.infra.redis import client, key
from shared.infra.relay_wakeup import WAKEUP_SET, wait_for_wakeup, wake_relay
from shared.scans.store import NewScan, accept
from shared.settings import settings
from tests.support.factories import append_event, code_text, make_code, make_player, number_events
from tests.support.polling import eventually
from workers import relay

Step = Callable[[], None]


class MortalConnection(psycopg.Connection[Any]):
    """A connection that breaks before or after a statement."""

    step: Step = staticmethod(lambda: None)

    def execute(self, *args: Any, **options: Any) -> Any:
        self.step()
        result = super().execute(*args, **options)
        self.step()
        return result


class Stage:
    """Runs relays that die at the n-th step, and records what they publish."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.published: list[Event] = []
        self._steps = 0
        self._dies_at = 0
        self._conn: MortalConnection | None = None
        self._stopping = threading.Event()
        number = Sequencer.number

        def number_or_die(sequencer: Sequencer, *, limit: int) -> list[Event]:
            numbered = number(sequencer, limit=limit)
            self._step()
            return numbered

        def publish(batch: list[Event]) -> bool:
            self._step()
            self.published += batch
            self._step()
            return True

        def wait(_stopping: threading.Event, *, after_batch: bool) -> None:
            if not after_batch:
                self._stopping.set()

        monkeypatch.setattr(Sequencer, "number", number_or_die)
        monkeypatch.setattr(relay, "publish", publish)
        monkeypatch.setattr(relay, "wait", wait)
        monkeypatch.setattr(relay, "BATCH", 2)
        monkeypatch.setattr(MortalConnection, "step", lambda _: self._step())

    def _step(self) -> None:
        self._steps += 1
        if self._steps == self._dies_at and self._conn is not None:
            self._conn.close()
            raise psycopg.OperationalError("the connection broke")

    def run(self, dies_at: int = 0) -> bool:
        """Run a relay until it has nothing to do. Return False if it died at this step."""
        self._steps, self._dies_at = 0, dies_at
        self._stopping = threading.Event()
        url = settings().database_url.get_secret_value()
        with (
            MortalConnection.connect(url, autocommit=True) as self._conn,
            suppress(psycopg.OperationalError),
        ):
            relay.relay_events(self._conn, self._stopping)
            return True
        return False


def test_relay_that_dies_at_any_step_loses_no_event_and_notifies_once(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may publish an event again. The sockets skip it by its position, which never changes."""
    stage, player, code = Stage(monkeypatch), make_player(conn), code_text(conn, make_code(conn))
    listener = db.dedicated_connection()
    listener.execute("LISTEN qr_scan")
    for dies_at in count(1):
        start, stage.published = event_log.last_position(conn), []
        scans = [str(accept(conn, NewScan(player, code), device="phone")) for _ in range(3)]
        is_finished = stage.run(dies_at)
        append_event(conn, "next")
        assert stage.run()

        last_seen, seen = start, []
        for event in stage.published:
            if event.position > last_seen:
                last_seen = event.position
                seen.append(event)
        assert [event.position for event in seen] == list(range(start + 1, start + 5))
        assert [event.data["scan_id"] for event in seen[:3]] == scans
        listener.execute("SELECT")
        assert [json.loads(each.payload)["scan_id"] for each in listener.notifies(timeout=0)] == scans
        assert event_log.load_position(conn, event_log.RELAY) == start + 4
        if is_finished:
            break
    assert dies_at > 20
    listener.close()


def test_relay_numbers_all_events_between_two_attempts_to_publish(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis that hangs takes seconds for each attempt. Rollups and NOTIFY do not wait for it."""
    stopping = threading.Event()
    numbered: list[int] = []

    def fail(_batch: list[Event]) -> bool:
        numbered.append(event_log.last_position(conn))
        if len(numbered) == 2:
            stopping.set()
        return False

    monkeypatch.setattr(relay, "publish", fail)
    monkeypatch.setattr(relay, "BATCH", 2)
    start = event_log.last_position(conn)
    for _ in range(9):
        append_event(conn, "test")
    with db.dedicated_connection() as own:
        relay.relay_events(own, stopping)
    assert [last - start for last in numbered] == [2, 9]


def test_two_relays_publish_every_event(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each publishes what the other one numbers, too, so none of them leaves a gap to a socket."""
    published: dict[int, list[int]] = {}

    def publish(batch: list[Event]) -> bool:
        published.setdefault(threading.get_ident(), []).extend(event.position for event in batch)
        return True

    monkeypatch.setattr(relay, "publish", publish)
    stopping = threading.Event()

    def run() -> None:
        with db.dedicated_connection() as own:
            relay.relay_events(own, stopping)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for k in range(50):
        append_event(conn, str(k))

    def has_published_all() -> bool:
        wake_relay()
        return [len(positions) for positions in published.values()] == [50, 50]

    eventually(has_published_all)
    stopping.set()
    for thread in threads:
        thread.join()
    assert list(published.values()) == [list(range(1, 51))] * 2


def test_events_are_numbered_while_redis_is_unavailable_and_published_after(
    conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[int] = []
    outages = iter([False, False, False])
    stopping = threading.Event()

    def publish(batch: list[Event]) -> bool:
        append_event(conn, "meanwhile")
        if not next(outages, True):
            return False
        published.extend(event.position for event in batch)
        stopping.set()
        return True

    monkeypatch.setattr(relay, "publish", publish)
    monkeypatch.setattr(relay, "RETRY_SECONDS", 0)
    append_event(conn, "first")
    with db.dedicated_connection() as own:
        relay.relay_events(own, stopping)
    assert published == [1, 2, 3, 4]
    assert [event.position for event in number_events()] == [5]


# Wakeup --------------------------------------------------------------------------------------------------------------


def test_any_number_of_wakeups_is_one_until_the_relay_takes_it(clean: None) -> None:
    for _ in range(3):
        wake_relay()
    assert client().zcard(key(WAKEUP_SET)) == 1
    wait_for_wakeup(0.1)
    assert client().zcard(key(WAKEUP_SET)) == 0


def test_unavailable_redis_fails_the_wait_but_not_the_wakeup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_wakeup, "client", lambda: redis.Redis(port=9, retry=Retry(NoBackoff(), 0)))
    wake_relay()
    with pytest.raises(redis.RedisError):
        wait_for_wakeup(0.1)


def test_relay_reconnects_while_its_server_is_read_only(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    def leader() -> tuple[int, ...] | None:
        return conn.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted").fetchone()

    def set_read_only(value: str) -> None:
        conn.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
        conn.execute("SELECT pg_reload_conf()")

    def has_another_leader() -> bool:
        # More events, because the first ones may be numbered before the setting reaches the session of the relay.
        append_event(conn, "scan_result")
        return leader() not in (None, first)

    conn.execute("SET default_transaction_read_only = off")
    stopping = threading.Event()
    monkeypatch.setattr(relay, "stop_event", lambda: stopping)
    running = threading.Thread(target=relay.main)
    running.start()
    try:
        first = eventually(leader)
        set_read_only("on")
        eventually(has_another_leader)
        set_read_only("off")
        eventually(lambda: event_log.read(conn, 0, limit=1))
    finally:
        conn.execute("ALTER SYSTEM RESET default_transaction_read_only")
        conn.execute("SELECT pg_reload_conf()")
        conn.execute("RESET default_transaction_read_only")
        stopping.set()
        running.join(60)
    assert not running.is_alive()
