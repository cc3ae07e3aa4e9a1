"""What each part records about itself. tests/system/test_metrics.py compares totals with what happened."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock
from uuid import uuid4

import dramatiq
import pytest
import redis
from dramatiq.broker import MessageProxy
from prometheus_client import REGISTRY, Histogram

from shared.infra import cache, message_sender, metrics
from shared.infra.broker import BrokerUnavailable
from shared.infra.cache import Cache
from shared.infra.db import Conn
from shared.infra.leader_election import leadership
from shared.infra.local_cache import LocalCache
from shared.infra.message_sender import BackgroundSender
from shared.infra.storage.base import FileMissing, StorageError
from shared.infra.storage.local import LocalStorage
from shared.messages import ScansAccepted
from shared.visits import visit_buffer
from shared.visits.visit_buffer import RawVisit, VisitBuffer
from tests.support.factories import (
    append_event,
    make_code,
    make_held_scan,
    make_org,
    make_player,
    number_events,
    submit_scan,
)
from tests.support.metrics import grows_by, value_of
from tests.support.polling import eventually
from web.http import rate_limit_storage
from web.realtime.verdict_waiters import VerdictWaiters
from workers import installation_metrics, relay
from workers.catalog_metrics import MetricsInterceptor
from workers.installation_metrics import InstallationMetrics
from workers.message_metrics import MessageMetrics
from workers.scans import judge_pending


def test_deferred_values_are_recorded_by_a_flush_or_after_many() -> None:
    labels = {"message": "Deferred", "outcome": "sent"}

    def recorded() -> float | None:
        return REGISTRY.get_sample_value("waymark_message_sends_total", labels)

    metrics.flush()
    metrics.defer(message_sender.SENDS, tuple(labels.values()), 2)
    assert recorded() is None
    metrics.flush()
    assert recorded() == 2
    for _ in range(metrics.MAX_DEFERRED):
        metrics.defer(message_sender.SENDS, tuple(labels.values()), 1)
    assert recorded() == 2 + metrics.MAX_DEFERRED


def test_values_observed_together_are_in_the_same_buckets() -> None:
    values, bounds = (0, 0.5, 1, 1.5, 2, 2, 99), (1, 2, 3)
    together, apart = (Histogram("seconds", "Seconds.", buckets=bounds, registry=None) for _ in range(2))
    metrics.observe_all(together, values)
    for value in values:
        apart.observe(value)
    (one,), (other,) = together.collect(), apart.collect()
    assert [sample[:3] for sample in one.samples] == [sample[:3] for sample in other.samples]


def test_leader_is_one_while_it_leads(clean: None) -> None:
    with grows_by(1, "waymark_leader_changes_total", role="metrics"):
        with leadership("metrics", threading.Event()) as lead:
            assert lead is not None
            assert value_of("waymark_leader", role="metrics") == 1
        assert value_of("waymark_leader", role="metrics") == 0


def test_lookups_are_counted_by_their_result(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(local_bytes: int) -> None:
        Cache("metrics", 60, LocalCache(local_bytes)).get_or_create("a", lambda: b"image", uuid4())

    for result in ("miss", "hit"):
        with grows_by(1, "waymark_cache_requests_total", cache="metrics", result=result):
            look_up(0)
    entries = Cache("metrics", 60, LocalCache(1_000))
    entries.get_or_create("a", lambda: b"image", uuid4())
    with grows_by(1, "waymark_cache_requests_total", cache="metrics", result="local"):
        entries.get_or_create("a", lambda: b"image", uuid4())
    monkeypatch.setattr(cache, "_query", lambda _call: None)
    with grows_by(1, "waymark_cache_requests_total", cache="metrics", result="unavailable"):
        look_up(0)


def test_dropped_message_is_counted(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sender = BackgroundSender()
    monkeypatch.setattr(sender, "_thread", threading.current_thread())
    for outcome in ("sent", "dropped"):
        if outcome == "dropped":
            monkeypatch.setattr(message_sender, "send", Mock(side_effect=BrokerUnavailable("down")))
        sender.submit(ScansAccepted())
        with grows_by(1, "waymark_message_sends_total", message="ScansAccepted", outcome=outcome):
            sender.flush()


def test_failed_operation_of_the_storage_is_counted(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with grows_by(0, "waymark_storage_errors_total", operation="read"), pytest.raises(FileMissing):
        storage.read("renders/none")
    (tmp_path / "drafts").touch()
    failures = grows_by(1, "waymark_storage_errors_total", operation="write")
    with failures, pytest.raises(StorageError), storage.write("renders/one"):
        pass


def test_visits_are_counted_until_they_are_stored(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visit_buffer, "MAX_BUFFERED", 2)
    buffer, code = VisitBuffer(), make_code(conn)
    with grows_by(0, "waymark_visits_buffered"), grows_by(1, "waymark_visits_dropped_total"):
        with grows_by(2, "waymark_visits_buffered"):
            for _ in range(3):
                buffer.add(RawVisit(code, datetime.now(UTC), None, is_prefetch=False, used_stock=False))
        assert buffer.flush()


def test_refused_wait_is_counted() -> None:
    waiters = VerdictWaiters(1)
    with waiters.register(uuid4(), 1), grows_by(1, "waymark_verdict_waits_refused_total"):
        assert value_of("waymark_verdict_waits_in_progress") == 1
        with waiters.register(uuid4(), 1) as refused:
            assert refused is None
        with waiters.register(uuid4(), 0):
            """A request that does not want to wait is not refused."""
    assert value_of("waymark_verdict_waits_in_progress") == 0


def test_breached_limit_is_counted_by_its_name(limited: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    client = limited(PAGE="1 per minute")
    with grows_by(1, "waymark_rate_limited_total", limit="page"):
        assert [client.get("/s/none").status_code for _ in range(2)] == [404, 429]
    (limiter,) = client.application.extensions["limiter"]
    storage = limiter.storage
    monkeypatch.setattr(storage, "_increment", Mock(side_effect=redis.ConnectionError))
    with pytest.raises(redis.ConnectionError):
        storage.incr("a", 1)
    assert value_of("waymark_rate_limits_local") == 1
    assert isinstance(storage, rate_limit_storage.RedisRateLimitStorage)
    assert storage.check()
    assert value_of("waymark_rate_limits_local") == 0


def test_relay_reports_its_lag_until_it_catches_up(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    append_event(conn, "late")
    conn.execute("UPDATE events SET at = now() - interval '1 hour'")
    working, publish = threading.Event(), relay.publish
    monkeypatch.setattr(relay, "publish", lambda batch: working.is_set() and publish(batch))
    stopping = threading.Event()
    from shared.infra import db

    with db.dedicated_connection() as own, grows_by(1, "waymark_relay_published_events_total"):
        thread = threading.Thread(target=relay.relay_events, args=(own, stopping))
        thread.start()
        eventually(lambda: 3_600 <= value_of("waymark_relay_lag_seconds") < 3_700)
        working.set()
        eventually(lambda: value_of("waymark_relay_lag_seconds") == 0)
        stopping.set()
        thread.join(20)


def test_failed_publish_is_counted(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    append_event(conn, "one")
    monkeypatch.setattr(relay, "client", Mock(side_effect=redis.ConnectionError))
    with grows_by(1, "waymark_relay_failures_total"):
        assert not relay.publish(number_events())


@pytest.mark.parametrize("outcome", ["done", "failed", "skipped"])
def test_message_is_counted_by_its_outcome(outcome: str) -> None:
    broker = cast("dramatiq.Broker", None)
    message = MessageProxy(dramatiq.Message("scans", "Metrics", (), {}, {}))
    labels = {"queue": "scans", "message": "Metrics"}
    middleware = MessageMetrics()
    with grows_by(1, "waymark_messages_total", **labels, outcome=outcome):
        middleware.before_process_message(broker, message)
        assert value_of("waymark_messages_in_progress", **labels) == 1
        if outcome == "skipped":
            middleware.after_skip_message(broker, message)
        else:
            error = ValueError() if outcome == "failed" else None
            middleware.after_process_message(broker, message, exception=error)
    assert value_of("waymark_messages_in_progress", **labels) == 0
    assert middleware._started == {}


def test_method_of_a_catalog_call_is_a_known_one() -> None:
    """A client without a token can call any path."""
    handler = SimpleNamespace(
        unary_unary=lambda _request, _context: "answer", request_deserializer=None, response_serializer=None
    )
    context = SimpleNamespace(code=lambda: None)
    for path, method in (("/quest.QuestService/GetQuestInfo", "GetQuestInfo"), ("/a/b", "other")):
        made = MetricsInterceptor().intercept_service(lambda _details: handler, SimpleNamespace(method=path))
        with grows_by(1, "waymark_catalog_requests_total", method=method, code="OK"):
            assert made.unary_unary(None, context) == "answer"
    assert MetricsInterceptor().intercept_service(lambda _details: None, SimpleNamespace(method="/a/b")) is None


def test_verdicts_are_counted_once_they_are_settled(conn: Conn) -> None:
    player, code = make_player(conn), make_code(conn, reward_item="gem")
    with (
        grows_by(1, "waymark_scans_accepted_total", by="player", answer="accepted"),
        grows_by(2, "waymark_scans_accepted_total", by="player", answer="repeated"),
    ):
        for _ in range(3):
            submit_scan(conn, player, code, nonce="same")
    with (
        grows_by(1, "waymark_scans_settled_total", status="success", reason=""),
        grows_by(1, "waymark_scan_verdict_seconds_count"),
        grows_by(1, "waymark_rewards_granted_total", source="scan"),
    ):
        judge_pending()
        judge_pending()


def test_installation_is_measured_while_this_process_leads(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    player, org = make_player(conn), make_org(conn)
    code = make_code(conn, org)
    for _ in range(2):
        submit_scan(conn, player, code)
    make_held_scan(conn, player, code)
    conn.execute("UPDATE player_scans SET org_id = %s", (org,))
    conn.execute("UPDATE player_scans SET received_at = now() - interval '1 hour' WHERE status = 'pending'")
    number_events()
    metrics = InstallationMetrics()
    assert samples(metrics) == {}

    metrics.measure()

    measured = samples(metrics)
    assert measured["waymark_backlog", "scans"] == 2
    assert 3_600 <= measured["waymark_backlog_oldest_seconds", "scans"] < 3_700
    assert measured["waymark_backlog", "imports"] == 0
    assert measured["waymark_scans_held", ""] == 1
    assert measured["waymark_events_unaggregated", ""] >= 2
    assert measured["waymark_database_oldest_transaction_seconds", ""] >= 0
    assert {name for name, _ in measured} == installation_metrics.HELP.keys() - {BACKUP}
    conn.execute(
        "INSERT INTO operations_log (operation, backup, backup_at, passed) VALUES ('drill', 'b', %s, true)",
        (datetime.fromtimestamp(1_800_000_000, UTC),),
    )
    metrics.measure()
    assert samples(metrics)[BACKUP, ""] == 1_800_000_000
    # An unavailable PostgreSQL leaves the values for a minute.
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "_measured_at", metrics._measured_at - timedelta(minutes=2).total_seconds())
        assert samples(metrics) == {}
    assert samples(metrics)
    metrics.clear()
    assert samples(metrics) == {}


BACKUP = "waymark_backup_last_success_timestamp_seconds"


def samples(metrics: InstallationMetrics) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("queue", "")): sample.value
        for family in metrics.collect()
        for sample in family.samples
    }
