"""`waymark codes` and `imports`."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from shared.infra.db import Conn
from shared.infra.logging import configure_command
from tests.cli.conftest import operator_entries
from tests.support.callers import Staff
from tests.support.command_line import error_of, run, waymark, waymark_json
from tests.support.factories import code_text, make_code
from workers import imports


@pytest.fixture
def bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the command waits for the import, a worker runs it."""
    configure_command()  # its logs are no output of the command
    monkeypatch.setattr(time, "sleep", lambda _seconds: imports.run_pending())


def test_codes_are_listed_and_shown(conn: Conn, staff: Staff, slug: str) -> None:
    first, second = make_code(conn, staff.org_id, tags=["dam"]), make_code(conn, staff.org_id)
    listed = waymark_json("codes", "list", slug)
    assert [code["id"] for code in listed] == [str(second), str(first)]
    assert [code["id"] for code in waymark_json("codes", "list", slug, "--tag", "dam")] == [str(first)]
    text = code_text(conn, first)
    assert waymark_json("codes", "list", slug, "--search", text[2:])[0]["id"] == str(first)
    shown = waymark_json("codes", "show", text)
    assert (shown["code"], shown["url"].rpartition("/")[2]) == (text, text)
    assert text in waymark("codes", "show", text)
    assert error_of("codes", "show", "unknown-code") == "No code unknown-code"


def test_code_is_deactivated_and_activated(client: Any, conn: Conn, staff: Staff) -> None:
    code = make_code(conn, staff.org_id)
    text = code_text(conn, code)
    for _ in range(2):
        assert waymark("codes", "deactivate", text) == f"Code {text} is inactive\n"
    shown = client.get(f"{staff.codes}/{code}", headers=staff.admin.headers).json
    assert shown["active"] is False
    waymark("codes", "activate", text)
    assert operator_entries(conn) == 2 * [("code.changed", str(code))]  # a repetition changes nothing


def test_exported_codes_are_imported_again(conn: Conn, staff: Staff, slug: str, bulk: None, tmp_path: Path) -> None:
    make_code(conn, staff.org_id, reward_quantity=3)
    file = tmp_path / "codes.csv"
    assert waymark("codes", "export", slug, "-o", file) == f"Wrote 1 codes to {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600  # it has the solutions of puzzles
    assert waymark("codes", "export", slug).splitlines() == file.read_text().splitlines()
    result = run("codes", "import", slug, file)  # the text is taken
    assert result.exit_code == 1
    lines = file.read_text().splitlines()
    file.write_text(f"{lines[0]}\n,{lines[1].partition(',')[2]}\n")

    checked = waymark_json("codes", "import", slug, file, "--dry-run")
    assert (checked["status"], checked["added"]) == ("checked", 0)
    imported = waymark_json("codes", "import", slug, file)
    assert (imported["status"], imported["added"]) == ("done", 1)
    assert len(waymark_json("codes", "list", slug)) == 2
    started = [action for action, _ in operator_entries(conn)]
    assert started.count("import.started") == 2  # not the dry run
    assert waymark_json("imports", "watch", slug, imported["import_id"])["status"] == "done"


def test_invalid_rows_are_listed(conn: Conn, staff: Staff, slug: str, bulk: None, tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    file.write_text("code,scan_type,latitude\na-good-one,item_drop,\nbad,item_drop,91\n")
    result = run("codes", "import", slug, file, "--partial")
    assert result.exit_code == 1
    assert "latitude" in result.stdout
    assert "Imported 2 rows: 1 codes added, 1 rows invalid" in result.stdout
    assert [row["status"] for row in json.loads(run("codes", "import", slug, file, "--json").stdout)["rows"]]

    file.write_text("color\nred\n")
    assert "color" in error_of("codes", "import", slug, file)
    file.write_text("code,scan_type\nanother-one,item_drop\n")
    assert "waymark imports watch" in waymark("codes", "import", slug, file, "--no-wait")
    assert error_of("imports", "watch", slug, staff.org_id) == f"No import {staff.org_id}"


def test_list_that_is_cut_says_so(conn: Conn, staff: Staff, slug: str) -> None:
    make_code(conn, staff.org_id)
    make_code(conn, staff.org_id)
    assert run("codes", "list", slug, "--limit", 1).stderr == "Listed the first 1. There may be more: raise --limit.\n"
    assert run("codes", "list", slug).stderr == ""
    assert run("codes", "list", slug, "--limit", 1, "--json").stderr == ""
