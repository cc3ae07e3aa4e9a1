"""Traces lead from the request through PostgreSQL to the worker. Without an endpoint, nothing is loaded."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from script.stack.running_server import CHECKOUT
from shared.infra.broker import make_broker
from shared.infra.db import Conn
from shared.infra.message_sender import background_sender
from shared.infra.tracing import tracing
from shared.messages import RenderFilesUnneeded
from shared.settings import settings
from tests.support.callers import sign_in
from tests.support.factories import code_text, make_code
from tests.support.polling import eventually
from tests.support.trace_collector import Collector, trace_collector
from web.app import create_app
from web.realtime import fanout
from workers import scans as worker
from workers.message_tracing import MessageTracing
from workers.wakeup_consumer import WakeupBroker

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
MESSAGE = "message RenderFilesUnneeded"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Tracing is on in this process."""
    with trace_collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        settings.cache_clear()
        tracing.start("test")
        yield collector
        tracing.stop()
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def traced(collector: Collector, conn: Conn) -> Iterator[Callable[..., Any]]:
    """Submit a scan with this traceparent, and judge it."""
    app = create_app()
    player, code = sign_in(app, conn), code_text(conn, make_code(conn))

    def submit(traceparent: str) -> None:
        headers = player.headers | {"traceparent": traceparent}
        body = {"player_id": str(player.id), "qr_code": code}
        assert app.test_client().post("/scan", json=body, headers=headers).status_code == 202
        worker.judge_pending()
        tracing.stop()

    yield submit
    app.extensions[fanout.EXTENSION].close()


def test_trace_leads_from_the_request_to_its_judgement(traced: Callable[..., Any], collector: Collector) -> None:
    traced(SAMPLED)

    (request,), (insert,) = collector.named("POST /scan"), collector.named("insert scan")
    assert (request.trace_id, request.parent_id) == (TRACE, PARENT)
    assert request.attributes["http.response.status_code"] == 202
    assert (insert.trace_id, insert.parent_id) == (TRACE, request.span_id)
    (judged,) = collector.named("judge")
    assert judged.links == (TRACE,)
    assert judged.trace_id != TRACE
    assert judged.attributes == {"scans": 1}


def test_judgement_of_a_sampled_scan_is_sampled(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Although the sampler would take no other trace."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    collector: Collector = request.getfixturevalue("collector")
    request.getfixturevalue("traced")(SAMPLED)

    assert {span.name for span in collector.spans} == {"POST /scan", "insert scan", "judge"}


def test_message_continues_the_trace_of_its_sender(collector: Collector, clean: None) -> None:
    broker = make_broker([], WakeupBroker)
    with tracing.span("request", traceparent=SAMPLED):
        background_sender.submit(RenderFilesUnneeded("a"))
    consumer, middleware = broker.consume("maintenance", timeout=100), MessageTracing()
    message = eventually(lambda: next(consumer))
    middleware.before_process_message(broker, message)
    with tracing.span("work"):
        pass
    middleware.after_process_message(broker, message, exception=ValueError("ada is at 52.37, 4.89"))
    consumer.close()
    tracing.stop()

    (sent,), (handled,), (work,) = (collector.named(name) for name in ("request", MESSAGE, "work"))
    assert (handled.trace_id, handled.parent_id) == (TRACE, sent.span_id)
    assert work.parent_id == handled.span_id
    assert handled.attributes == {"messaging.destination.name": "maintenance"}
    assert handled.status == "ValueError"
    assert not [body for body in collector.bodies if b"52.37" in body]


@pytest.mark.parametrize("traceparent", [UNSAMPLED])
def test_requests_that_are_not_sampled_leave_no_span(
    traced: Callable[..., Any], collector: Collector, conn: Conn, traceparent: str
) -> None:
    traced(traceparent)

    assert collector.spans == []
    assert conn.execute("SELECT traceparent FROM player_scans").fetchall() == [(None,)]


@pytest.mark.parametrize("traceparent", ["", "x" * 500, "00-0-0-01", f"ff-{TRACE}-{PARENT}-01"])
def test_malformed_traceparent_starts_a_new_trace(
    traced: Callable[..., Any], collector: Collector, traceparent: str
) -> None:
    traced(traceparent)

    (request,) = collector.named("POST /scan")
    assert request.trace_id != TRACE
    assert request.parent_id == ""


def test_log_lines_name_the_current_span(collector: Collector) -> None:
    assert tracing.current_ids() == {}
    with tracing.span("work", traceparent=SAMPLED):
        assert tracing.current_ids()["trace_id"] == TRACE
        assert (tracing.current_traceparent() or "").startswith(f"00-{TRACE}-")


def test_nothing_is_loaded_without_an_endpoint() -> None:
    """redis-py imports other parts of OpenTelemetry, if they are installed."""
    program = """
import sys
import workers.main
from shared.infra.tracing import tracing
from web.app import create_app

create_app()
tracing.start("web")
with tracing.span("work"):
    assert tracing.current_traceparent() is None
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk.trace", "opentelemetry.exporter"))]
"""
    subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, env=os.environ, check=True, timeout=60)
