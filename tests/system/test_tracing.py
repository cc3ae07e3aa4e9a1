"""Traces of real processes: two of web and two of worker, each with an exporter of its own."""

from typing import Any

import pytest

from script.stack.running_server import running_server
from tests.support.polling import eventually
from tests.support.trace_collector import Collector, trace_collector
from tests.system.conftest import SERVER_ENVIRONMENT, set_up
from tests.system.load import Scan
from tests.system.processes import ENVIRONMENT, log_lines

pytestmark = [pytest.mark.system, pytest.mark.long]


def messages_of(collector: Collector) -> set[str]:
    """Return the ids of the spans of messages that make workers judge."""
    return {span.span_id for span in collector.spans if span.name in ("message ScansAccepted", "message ScansPending")}


def test_scans_are_traced_through_all_processes(app: Any) -> None:
    with trace_collector() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "NO_PROXY": "127.0.0.1",
            "WEB_CONCURRENCY": "2",
            "WORKER_PROCESSES": "2",
        }
        with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, **environment}) as server:
            stage = set_up(server, app)
            traces = {f"{number:032x}" for number in range(1, 41)}
            for trace in traces:
                scan = Scan(stage.game.players[0], stage.game.codes["open"])
                parent = f"00-{trace}-00f067aa0ba902b7-01"
                answer = stage.load.ask("POST", "/scan", scan.player, scan.body(), traceparent=parent)
                assert answer.status == 202
            eventually(lambda: traces <= {span.trace_id for span in collector.named("POST /scan")})
            eventually(lambda: traces <= {span.trace_id for span in collector.named("insert scan")})
            eventually(lambda: traces <= {link for span in collector.named("judge") for link in span.links})
            eventually(lambda: {span.parent_id for span in collector.named("judge")} <= messages_of(collector))
            judged = [link for span in collector.named("judge") for link in span.links]
            assert len(judged) == len(set(judged)), "a scan was judged twice"
            assert {span.service for span in collector.spans} == {"waymark-web", "waymark-worker"}
            assert not [span for span in collector.spans if "/healthz" in span.name]
            logged = {line.get("trace_id") for line in log_lines(server) if line["event"] == "request_finished"}
            assert traces <= logged
