"""Verdict waiters: woken through Redis, limited in time and number."""

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
    """Return a fan-out that has not started."""
    return Fanout(VerdictWaiters(8))


def test_first_waiter_starts_the_subscriber_and_is_woken(fanout: Fanout) -> None:
    scan_id = uuid4()
    with fanout.wait_for_verdict(scan_id, 10) as wait:
        assert wait is not None
        assert wait()  # the subscription is active: messages before it may have been missed
        client().publish(key(VERDICTS_CHANNEL), f"{uuid4()} {scan_id}")
        assert wait()


def test_waiters_receive_the_settled_scan(conn: Conn, fanout: Fanout) -> None:
    """The scan is read once for all its waiters. A pending scan is not delivered."""
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
        assert third()  # the subscription is active
        client().publish(key(VERDICTS_CHANNEL), f"{settled} {pending}")
        assert first()
        assert second()
        assert third()
    assert [wait.scan and wait.scan.status for wait in (first, second, third)] == ["success", "success", None]


def test_waiters_are_woken_without_postgresql(fanout: Fanout, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> None:
        raise psycopg.OperationalError("the connection is lost")

    scan_id = uuid4()
    monkeypatch.setattr("web.realtime.fanout.db.connection", unavailable)
    with fanout.wait_for_verdict(scan_id, 10) as wait:
        assert wait is not None
        assert wait()
        client().publish(key(VERDICTS_CHANNEL), str(scan_id))
        assert wait()
        assert wait.scan is None


def test_verdict_of_another_scan_wakes_no_waiter(fanout: Fanout) -> None:
    with fanout.wait_for_verdict(uuid4(), 1) as wait:
        assert wait is not None
        assert wait()
        client().publish(key(VERDICTS_CHANNEL), str(uuid4()))
        assert not wait()


def test_wake_before_the_wait_is_not_lost() -> None:
    waits, scan_id = VerdictWaiters(1), uuid4()
    with waits.register(scan_id, 10) as wait:
        waits.wake([scan_id])
        assert wait is not None
        assert wait()


def test_request_above_the_limit_does_not_wait() -> None:
    """It gets its response immediately, so that waiting requests never hold every thread."""
    waits = VerdictWaiters(1)
    with waits.register(uuid4(), 10) as first:
        assert first is not None
        with waits.register(uuid4(), 10) as second:
            assert second is None
    with waits.register(uuid4(), 10) as third:
        assert third is not None


def test_close_ends_all_waiters() -> None:
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
def test_preferred_wait(header: str | None, seconds: float) -> None:
    assert preferred_wait(header, 0) == seconds
