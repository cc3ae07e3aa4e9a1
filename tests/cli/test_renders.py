"""`waymark renders`."""

import json
import time
import zipfile
from pathlib import Path

import pytest

from shared.infra import redis
from shared.infra.db import Conn
from shared.infra.logging import configure_command
from shared.infra.message_sender import wakeup_set
from shared.messages import RendersPending
from tests.cli.conftest import operator_entries
from tests.renders.factories import make_codes, work
from tests.support.callers import Staff
from tests.support.command_line import environment, error_of, run, waymark, waymark_json
from tests.support.factories import code_text, make_code
from workers.cli import watching


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the command waits for the render, a worker renders."""
    configure_command()  # its logs are no output of the command
    monkeypatch.setattr(time, "sleep", lambda _seconds: work())


def test_render_is_started_watched_and_fetched(conn: Conn, staff: Staff, slug: str, bulk: None, tmp_path: Path) -> None:
    codes = make_codes(conn, staff.org_id, 3)
    texts = [code_text(conn, code) for code in codes]
    file, again = tmp_path / "codes.zip", tmp_path / "again.zip"

    started = waymark_json("renders", "start", slug, *texts[:2], "-o", file)

    assert (started["done"], started["total"], started["file"]) == (2, 2, str(file))
    assert len([name for name in zipfile.ZipFile(file).namelist() if name.endswith(".png")]) == 2
    assert waymark("renders", "fetch", started["id"], "-o", again) == f"Wrote {again}\n"
    assert again.read_bytes() == file.read_bytes()
    assert "Rendered 2 of 2 codes" in waymark("renders", "watch", started["id"])
    (listed,) = waymark_json("renders", "list", slug)
    assert listed["status"] == "done"

    assert "Confirm with --yes" in error_of("renders", "cancel", started["id"])
    waymark("renders", "cancel", started["id"], "--yes")
    assert "expired" in error_of("renders", "fetch", started["id"], "-o", again)
    assert operator_entries(conn) == [("render.started", started["id"]), ("render.canceled", started["id"])]


def test_labels_of_all_codes_are_one_pdf(conn: Conn, staff: Staff, slug: str, bulk: None, tmp_path: Path) -> None:
    make_codes(conn, staff.org_id, 2)
    file = tmp_path / "labels.pdf"
    output = waymark("renders", "start", slug, "--all", "--output", "label_sheet", "--start-at", "3", "-o", file)
    assert output == f"Rendered 2 of 2 codes into {file}\n"
    assert file.read_bytes().startswith(b"%PDF-")


def test_wrong_selections_are_named(conn: Conn, staff: Staff, slug: str) -> None:
    text = code_text(conn, make_code(conn))
    assert "belongs to another organization" in error_of("renders", "start", slug, text)
    assert "Select 1 to 100,000 codes" in error_of("renders", "start", slug, "--tag", "unused")
    assert "--all" in error_of("renders", "start", slug, status=2)
    make_code(conn, staff.org_id)
    assert "can be written" in error_of("renders", "start", slug, "--all", "-o", "/nonexistent/a.zip")
    sheet = ("renders", "start", slug, "--all", "--output", "label_sheet")
    assert "No label template x" in error_of(*sheet, "--template", "x")
    assert "24 labels" in error_of(*sheet, "--start-at", 25)
    assert error_of("renders", "watch", staff.org_id) == f"No render {staff.org_id}"
    started = waymark_json("renders", "start", slug, "--all", "--no-wait")["render_id"]
    waymark("renders", "cancel", started, "--yes")
    assert f"Render {started} is canceled" in error_of("renders", "watch", started)
    assert run("renders", "list", slug).exit_code == 0


def test_watch_explains_why_a_render_makes_no_progress(
    conn: Conn, staff: Staff, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_codes(conn, staff.org_id, 1)
    monkeypatch.setattr(watching, "HINT_SECONDS", 0.0)
    polls = iter(range(3))
    monkeypatch.setattr(time, "sleep", lambda _seconds: work() if next(polls) == 2 else None)
    result = run("renders", "start", slug, "--all", "--json")
    assert (result.exit_code, json.loads(result.stdout)["done"]) == (0, 1)
    assert result.stderr.count("No progress: no process takes messages of the queue renders. Start the process") == 1

    redis.client().delete(wakeup_set(RendersPending.queue))
    assert watching.explain_untaken(RendersPending()) is None
    assert "works on other jobs" in watching.explain_stuck(RendersPending())


def test_watch_names_an_unavailable_broker() -> None:
    with environment(REDIS_URL="redis://127.0.0.1:9"):
        assert "the broker of messages is unavailable" in watching.explain_stuck(RendersPending())
