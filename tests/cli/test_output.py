"""Values and headings for people."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from shared.codes.rules import CodeReward
from workers.cli.commands import CommandError
from workers.cli.tables import as_text, heading


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ((), "-"),
        ({}, "-"),
        (True, "yes"),
        (12_408, "12,408"),
        (52.3731, "52.3731"),
        (50.0, "50"),
        (datetime(2026, 2, 12, 11, tzinfo=timezone(timedelta(hours=1))), "2026-02-12 10:00:00Z"),
        (("walk", "old"), "walk, old"),
        ({"distance_m": 60.1, "inside": False}, "distance_m 60.1, inside no"),
        (CodeReward("gem", 3), "item gem, quantity 3"),
        ("caf\u00e9 \x1b[2J", "caf\u00e9 \\x1b[2J"),
        ("caf\u00e9", "caf\u00e9"),
    ],
    ids=str,
)
def test_value_is_shown_for_people(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("id", "ID"),
        ("org_id", "Organization ID"),
        ("last_used_at", "Last used"),
        ("radius_m", "Radius (m)"),
        ("cooldown_seconds", "Cooldown (s)"),
    ],
)
def test_name_of_a_field_is_a_heading(name: str, shown: str) -> None:
    assert heading(name) == shown


def test_terminal_breaks_an_error_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    CommandError("only held scans can be released").show()
    assert capsys.readouterr().err == "Error: only held \nscans can be \nreleased\n"
