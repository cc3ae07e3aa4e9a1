"""`waymark smoke`, against a server in a thread. The server's log is part of the output."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.infra.message_sender import background_sender
from tests.support.command_line import run
from tests.support.threaded_server import serving
from workers.cli import smoke
from workers.scans import judge_pending


def test_scan_is_stored_judged_and_its_guest_erased(app: Any, conn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(app) as address, ThreadPoolExecutor(1) as worker:
        monkeypatch.setattr(background_sender, "submit", lambda _message: worker.submit(judge_pending))
        done = run("smoke", f"http://{address}")

    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "The scan was stored and judged.")
    assert conn.execute("SELECT qr_code, status FROM player_scans").fetchall() == [("erased", "failure")]
    assert conn.execute("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").fetchone() == (0,)


def test_names_what_is_missing(app: Any, conn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "WAIT_SECONDS", 0)
    with serving(app) as address:
        unjudged = run("smoke", f"http://{address}")
    stopped, wrong = run("smoke", f"http://{address}"), run("smoke", address)

    assert [each.exit_code for each in (unjudged, stopped, wrong)] == [1, 1, 1]
    assert "has no verdict after 0 seconds. Are workers running?" in unjudged.output
    assert "does not respond" in stopped.output
    assert "is not a URL" in wrong.output
