"""Logs: one line an event, in JSON where machines read them, and nothing in it that forges another."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

BEGIN = """
import logging, structlog
from shared.infra.logging import bound_request_id, configure
configure("worker")
log = structlog.get_logger()
"""


def logged(code: str) -> list[dict[str, Any]]:
    """What a process of its own logs in JSON."""
    environment = os.environ | {"LOG_FORMAT": "json"}
    ran = subprocess.run(
        [sys.executable, "-c", BEGIN + code], env=environment, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_a_line_names_its_process_and_its_request() -> None:
    """Waymark's loggers and the libraries' alike."""
    told = logged("""
with bound_request_id("r-1"):
    log.info("scan_settled", scan_id="s-1")
    logging.getLogger("library").warning("beware")
""")
    assert [line["event"] for line in told] == ["scan_settled", "beware"]
    assert all((line["process"], line["request_id"]) == ("worker", "r-1") for line in told)
    assert all(line["timestamp"].endswith("Z") for line in told)


def test_no_input_forges_a_line_or_paints_the_terminal() -> None:
    (told,) = logged(r"""log.info("scan", qr_code='x\r\n{"event": "forged"}\x1b[31m')""")
    assert told["qr_code"] == r'x\r\n{"event": "forged"}\x1b[31m'


def test_many_lines_are_the_same_as_one_by_one() -> None:
    """But for the moment; each keeps its own request id, where it has one."""
    lines = [{"scan_id": "s-1", "request_id": "own"}, {"scan_id": "s-2\r\n\x1b[31m"}]
    told = logged(f"""
from shared.infra.logging import log_many
with bound_request_id("r-1"):
    for line in {lines!r}:
        log.info("scan_settled", **line)
    log_many("scan_settled", {lines!r})
    log_many("nothing", [])
""")
    for line in told:
        assert line.pop("timestamp").endswith("Z")
    assert told[:2] == told[2:]
    assert [line["request_id"] for line in told] == ["own", "r-1"] * 2


def test_many_lines_keep_silent_below_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "WARNING")
    assert logged('from shared.infra.logging import log_many\nlog_many("scan_settled", [{"scan_id": "s-1"}])') == []


def test_an_exception_is_one_line() -> None:
    (told,) = logged("""
try:
    1 / 0
except ZeroDivisionError as error:
    log.error("unhandled_exception", exc_info=error)
""")
    assert "ZeroDivisionError" in told["exception"]


@pytest.mark.parametrize(("given", "kept"), [("abc.DEF_1-2", True), ("a b", False), ("x" * 129, False), ("", False)])
def test_the_clients_request_id_is_kept_where_it_is_a_plain_one(client: Any, given: str, kept: bool) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert (answer.headers["X-Request-ID"] == given) is kept
    assert answer.headers["X-Request-ID"]


def test_a_problem_names_the_request_and_nothing_of_the_server(client: Any) -> None:
    answer = client.get("/nothing-here", headers={"X-Request-ID": "r-1"})
    assert answer.content_type == "application/problem+json"
    assert answer.json["request_id"] == "r-1"
    assert "Traceback" not in answer.text
