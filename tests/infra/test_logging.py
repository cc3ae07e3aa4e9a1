"""Logs: one line per event, in JSON in production, and no input can forge a line."""

import json
import logging
import os
import subprocess
import sys
from typing import Any

import pytest
import structlog

from shared.infra.logging import configure
from tests.support.logs import restored_logging

BEGIN = """
import logging, structlog
from shared.infra.logging import bound_request_id, configure
configure("worker")
log = structlog.get_logger()
"""


def logged(code: str) -> list[dict[str, Any]]:
    """Return the JSON lines that a separate process logs."""
    environment = os.environ | {"LOG_FORMAT": "json"}
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN + code], env=environment, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_line_has_its_process_and_request_id() -> None:
    """From Waymark and from libraries."""
    values = logged("""
with bound_request_id("r-1"):
    log.info("scan_settled", scan_id="s-1")
    logging.getLogger("library").warning("beware")
""")
    assert [line["event"] for line in values] == ["scan_settled", "beware"]
    assert all((line["process"], line["request_id"]) == ("worker", "r-1") for line in values)
    assert all(line["timestamp"].endswith("Z") for line in values)


def test_input_cannot_forge_a_line_or_control_the_terminal() -> None:
    (values,) = logged(r"""log.info("scan", qr_code='x\r\n{"event": "forged"}\x1b[31m')""")
    assert values["qr_code"] == r'x\r\n{"event": "forged"}\x1b[31m'


def test_log_many_writes_the_same_lines_as_single_calls() -> None:
    """Except for the time. Each line has its own request id, if it has one."""
    lines = [{"scan_id": "s-1", "request_id": "own"}, {"scan_id": "s-2\r\n\x1b[31m"}]
    values = logged(f"""
from shared.infra.logging import log_many
with bound_request_id("r-1"):
    for line in {lines!r}:
        log.info("scan_settled", **line)
    log_many("scan_settled", {lines!r})
    log_many("nothing", [])
""")
    for line in values:
        assert line.pop("timestamp").endswith("Z")
    assert values[:2] == values[2:]
    assert [line["request_id"] for line in values] == ["own", "r-1"] * 2


def test_log_many_respects_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    assert logged('from shared.infra.logging import log_many\nlog_many("scan_settled", [{"scan_id": "s-1"}])') == []


def test_loggers_write_to_the_current_stdout() -> None:
    """Also loggers that were configured and used while stdout was a stream that is closed now."""
    values = logged("""
import io
from contextlib import redirect_stdout
from shared.infra.logging import log_many
with io.StringIO() as closed, redirect_stdout(closed):
    configure("worker")
    log.info("scan_settled")
    assert "scan_settled" in closed.getvalue()
log.info("scan_settled")
log_many("scan_settled", [{"scan_id": "s-1"}])
logging.getLogger("library").warning("beware")
""")
    assert [line["event"] for line in values] == ["scan_settled", "scan_settled", "beware"]


def test_restored_logging_undoes_configure() -> None:
    root = logging.getLogger()
    before = structlog.is_configured(), structlog.get_config(), root.handlers[:], root.level
    with restored_logging():
        configure("worker")
        assert structlog.get_config() != before[1]
        assert root.handlers != before[2]
    assert (structlog.is_configured(), structlog.get_config(), root.handlers, root.level) == before


def test_exception_is_one_line() -> None:
    (values,) = logged("""
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("unhandled_exception", exc_info=error)
""")
    assert "ZeroDivisionError" in values["exception"]


@pytest.mark.parametrize(("given", "kept"), [("abc.DEF_1-2", True), ("a b", False), ("x" * 129, False), ("", False)])
def test_valid_request_id_of_the_client_is_used(client: Any, given: str, kept: bool) -> None:
    response = client.get("/healthz", headers={"X-Request-ID": given})
    assert (response.headers["X-Request-ID"] == given) is kept
    assert response.headers["X-Request-ID"]


def test_problem_has_the_request_id_and_no_internals(client: Any) -> None:
    response = client.get("/nothing-here", headers={"X-Request-ID": "r-1"})
    assert response.content_type == "application/problem+json"
    assert response.json["request_id"] == "r-1"
    assert "Traceback" not in response.text
