"""`waymark settings` and `backlog`."""

import json
import threading
import time

import pytest

from shared.infra.db import Conn
from tests.support.command_line import run, waymark, waymark_json
from tests.support.factories import make_code, make_player, submit_scan


def test_settings_check_lists_every_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMITS_ENABLED", "true")
    assert waymark("settings", "check") == "The settings are valid\n"
    monkeypatch.setenv("WORKER_THREADS", "none")
    monkeypatch.setenv("DATABASE_URL", "mysql://")
    result = run("settings", "check", "--json")
    assert result.exit_code == 1
    assert [finding["message"].split(":")[0] for finding in json.loads(result.stdout)] == [
        "DATABASE_URL",
        "WORKER_THREADS",
    ]


def test_settings_check_lists_every_conflict_and_every_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("JWT_SECRET", "short"), ("MAP_TILES", "https://tiles.example/{z}/{x}/{y}.png")):
        monkeypatch.setenv(name, value)
    result = run("settings", "check")
    assert result.exit_code == 1
    assert "JWT_SECRET must be" in result.stdout
    assert "MAP_ATTRIBUTION must be" in result.stdout
    monkeypatch.undo()
    monkeypatch.setenv("PUBLIC_URL", "http://codes.example")
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    warnings = waymark_json("settings", "check")
    assert {finding["severity"] for finding in warnings} == {"warning"}
    assert len(warnings) == 3


def test_backlog_is_shown_and_watched(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    submit_scan(conn, make_player(conn), make_code(conn))
    conn.execute("UPDATE player_scans SET received_at = now() - interval '90 seconds'")
    queues = {row["queue"]: row for row in waymark_json("backlog")}
    assert (queues["scans"]["waiting"], round(queues["scans"]["oldest_seconds"])) == (1, 90)
    assert queues["renders"]["waiting"] == 0
    assert "scans" in waymark("backlog")

    reads = threading.Semaphore(2)

    def interrupt(_seconds: float) -> None:
        if not reads.acquire(blocking=False):
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    for options in ((), ("--json",)):
        reads = threading.Semaphore(2)
        result = run("backlog", "--watch", *options)
        assert result.exit_code == 1  # the process exits with 130
        assert result.stdout.count("scans") == (3 if options else 1)
