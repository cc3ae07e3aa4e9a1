"""Waiting for a verdict: woken through Redis, bounded in time and number, and never the start of a deadlock."""

import threading
from uuid import uuid4

import psycopg
import pytest

from shared.infra.db import Conn
from shared.infra.pubsub_messages import VERDICTS_CHANNEL
from shared.infra.redis import client, key
from tests.support.factories import make_code, make_player, submit_scan
from web.realtime.fanout import Fanout
from web.realtime.verdict_waiters import VerdictWaiters, preferred_wait


@pytest.fixture
def fanout(clean: None) -> Fanout:
    """A process that has heard of nothing yet."""
    return Fanout(VerdictWaiters(8))


def test_whoever_waits_first_starts_the_listening_and_is_woken(fanout: Fanout) -> None:
    scan_id = uuid4()
    with fanout.wait_for_verdict(scan_id, 10) as wait:
        assert wait is not None
        assert wait()  # the subscription stands: news may have been missed, so look
        client().publish(key(VERDICTS_CHANNEL), f"{uuid4()} {scan_id}")
        assert wait()


def test_whoever_waits_for_what_was_settled_is_told_the_verdict(conn: Conn, fanout: Fanout) -> None:
    """Read once for all who wait, by the time they wake; of a pending scan there is nothing to tell."""
    player = make_player(conn)
    settled, pending = (submit_scan(conn, player, make_code(conn)) for _ in range(2))
    conn.execute("UPDATE player_scans SET status = 'success', settled_at = now() WHERE id = %s", (settled,))
    with (
        fanout.wait_for_verdict(settled, 10) as first,
        fanout.wait_for_verdict(settled, 10) as second,
        fanout.wait_for_verdict(pending, 1) as third,
    ):
        assert first is not None
        assert second is not None
        assert third is not None
        assert first()
        assert second()
        assert third()  # the subscription stands
        client().publish(key(VERDICTS_CHANNEL), f"{settled} {pending}")
        assert first()
        assert second()
        assert third()
    assert [wait.scan and wait.scan.status for wait in (first, second, third)] == ["success", "success", None]


def test_without_postgresql_whoever_waits_looks_for_themselves(fanout: Fanout, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise psycopg.OperationalError("the connection is lost")

    scan_id = uuid4()
    monkeypatch.setattr("web.realtime.fanout.db.connection", away)
    with fanout.wait_for_verdict(scan_id, 10) as wait:
        assert wait is not None
        assert wait()
        client().publish(key(VERDICTS_CHANNEL), str(scan_id))
        assert wait()
        assert wait.scan is None


def test_news_of_other_scans_wakes_nobody(fanout: Fanout) -> None:
    with fanout.wait_for_verdict(uuid4(), 1) as wait:
        assert wait is not None
        assert wait()
        client().publish(key(VERDICTS_CHANNEL), str(uuid4()))
        assert not wait()


def test_a_wake_that_comes_before_the_wait_is_kept() -> None:
    waits, scan_id = VerdictWaiters(1), uuid4()
    with waits.register(scan_id, 10) as wait:
        waits.wake([scan_id])
        assert wait is not None
        assert wait()


def test_only_so_many_requests_wait_at_once() -> None:
    """The others are answered at once, so that waiting never takes every thread of a process."""
    waits = VerdictWaiters(1)
    with waits.register(uuid4(), 10) as first:
        assert first is not None
        with waits.register(uuid4(), 10) as second:
            assert second is None
    with waits.register(uuid4(), 10) as third:
        assert third is not None


def test_a_process_that_ends_lets_its_waiting_requests_go() -> None:
    waits = VerdictWaiters(1)
    with waits.register(uuid4(), 10) as wait:
        assert wait is not None
        threading.Timer(0.01, waits.close).start()
        while wait():
            pass
    with waits.register(uuid4(), 10) as late:
        assert late is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("wait=5", 5),
        ("WAIT=5", 5),
        ("respond-async, wait=3", 3),
        ('wait="4"; x=y', 4),
        ("wait=99", 10),
        ("wait=99999999999999999999", 10),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait", 0),
        ("wait=²", 0),
    ],
)
def test_what_a_prefer_header_asks_for(header: str | None, seconds: float) -> None:
    assert preferred_wait(header, 0) == seconds
