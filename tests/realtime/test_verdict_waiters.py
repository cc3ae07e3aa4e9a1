"""Verdict waiters: woken through Redis, limited in time and number."""

import threading
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg
import pytest

from shared.infra.pubsub_messages import VERDICTS_CHANNEL
from shared.infra.redis import client, key
from shared.scans import verdict_messages
from shared.scans.rules import Scan, Verdict
from web.realtime.fanout import Fanout
from web.realtime.verdict_waiters import VerdictWaiters, preferred_wait

NOW = datetime.now(UTC)


@pytest.fixture
def fanout(clean: None) -> Fanout:
    """Return a fan-out that has not started."""
    return Fanout(VerdictWaiters(8))


def publish(*settled: Scan) -> None:
    """Publish verdicts as a worker does."""
    verdicts = {scan.id: Verdict("success") for scan in settled}
    client().publish(key(VERDICTS_CHANNEL), verdict_messages.encode(settled, verdicts, {}, NOW))


def make_scan(scan_id: UUID | None = None) -> Scan:
    return Scan(scan_id or uuid4(), uuid4(), "spy123", None, NOW, NOW)


def test_first_waiter_starts_the_subscriber_and_gets_its_verdict_without_postgresql(
    fanout: Fanout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable() -> None:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr("shared.infra.db.connection", unavailable)
    scan = make_scan()
    with fanout.wait_for_verdict(scan.id, 10) as first, fanout.wait_for_verdict(scan.id, 10) as second:
        assert first is not None
        assert first()  # the subscription is active: messages before it may have been missed
        publish(make_scan(), scan)
        for wait in (first, second):
            assert wait is not None
            while wait.scan is None:
                assert wait()
            assert (wait.scan.scan_id, wait.scan.status) == (scan.id, "success")


def test_verdict_of_another_scan_wakes_no_waiter(fanout: Fanout) -> None:
    with fanout.wait_for_verdict(uuid4(), 1) as wait:
        assert wait is not None
        assert wait()
        publish(make_scan())
        assert not wait()
        assert wait.scan is None


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
