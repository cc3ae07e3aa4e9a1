"""Errors are reported to Sentry once, without what a request contained. Without SENTRY_DSN, nothing is loaded."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog

from script.stack.running_server import CHECKOUT
from shared.infra import error_reporting
from shared.infra.db import Conn
from shared.infra.logging import configure, get_logger
from shared.scans import store
from shared.settings import SettingsError, settings
from tests.support.callers import sign_in
from tests.support.error_sink import ErrorSink, error_sink
from tests.support.factories import code_text, make_code, make_player, submit_scan
from web.app import create_app
from web.http import problems
from web.realtime import fanout
from workers import jobs
from workers import scans as worker


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[ErrorSink]:
    """Error reports are on in this process."""
    with error_sink() as sink:
        monkeypatch.setenv("SENTRY_DSN", sink.dsn)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        settings.cache_clear()
        structlog.contextvars.clear_contextvars()
        configure("test")
        # A logger stays as it was at its first line, which may be of an earlier test.
        for module in (problems, jobs):
            monkeypatch.setattr(module, "log", get_logger())
        yield sink
        error_reporting.flush()
        error_reporting.sentry.reset()
    monkeypatch.undo()
    settings.cache_clear()


def test_bug_in_a_view_is_reported_once_without_its_request(
    sink: ErrorSink, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app()
    player, code = sign_in(app, conn), code_text(conn, make_code(conn))

    def fail(*_: Any, **_options: Any) -> None:
        password = " ".join(("correct", "horse"))  # a local variable; a report has lines of the source
        conn.execute("SELECT 1 / 0 AS quotient", {"password": password})

    monkeypatch.setattr(store, "accept", fail)
    body = {"player_id": str(player.id), "qr_code": code, "latitude": 52 + 373219e-6, "longitude": 4}
    response: Any = app.test_client().post("/scan", json=body, headers=player.headers)
    error_reporting.flush()
    app.extensions[fanout.EXTENSION].close()

    assert response.status_code == 500
    (event,) = sink.events
    assert event["tags"] == {
        "event": "unhandled_exception",
        "process": "web",
        "request_id": response.json["request_id"],
    }
    assert event["exception"]["values"][-1]["type"] == "DivisionByZero"
    secrets = [player.headers["Authorization"], str(player.id), code, f"52.{373219}", f"correct {'horse'}", "Bearer"]
    assert [secret for secret in secrets if secret in sink.received] == []


def test_bug_in_an_actor_is_reported_once(sink: ErrorSink, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    submit_scan(conn, make_player(conn), make_code(conn))

    def fail(*_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(worker.scans, "_work", fail)
    worker.scans.run_new()
    error_reporting.flush()

    (event,) = sink.events
    assert event["tags"] == {"event": "attempt_failed", "process": "test"}
    assert event["exception"]["values"][-1]["value"] == "a bug"
    assert event["exception"]["values"][-1]["stacktrace"]["frames"]


def test_values_of_rows_in_messages_of_postgresql_are_left_out(sink: ErrorSink, conn: Conn) -> None:
    conn.execute("CREATE TEMPORARY TABLE names (name text PRIMARY KEY)")
    conn.execute("INSERT INTO names VALUES ('ada')")
    try:
        conn.execute("INSERT INTO names VALUES ('ada')")
    except psycopg.Error:
        get_logger().exception("row_not_stored")
    error_reporting.flush()

    (event,) = sink.events
    assert event["exception"]["values"][-1]["value"].startswith("duplicate key value violates unique constraint")
    assert "(ada)" not in sink.received


def test_expected_errors_are_not_reported(sink: ErrorSink) -> None:
    get_logger().warning("store_unavailable", error="refused", exc_info=RuntimeError("refused"))
    get_logger().error("without_exception")
    error_reporting.flush()
    assert sink.events == []


def test_missing_packages_are_named(sink: ErrorSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with pytest.raises(SettingsError, match=r"requirements-tracing\.txt"):
        configure("test")


def test_nothing_is_loaded_without_an_address() -> None:
    program = """
import sys
import workers.main
from shared.infra.logging import configure, get_logger
from web.app import create_app
from web.http import problems

create_app()
get_logger().error("failed", exc_info=RuntimeError("a bug"))
assert "sentry_sdk" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, env=os.environ, check=True, timeout=60)
