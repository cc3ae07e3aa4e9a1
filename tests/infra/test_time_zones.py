"""Time zones come from one source: the pinned package, and never the operating system or PostgreSQL."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGE = files("tzdata") / "zoneinfo"
ZONES = ["Africa/Casablanca", "Africa/El_Aaiun", "America/Havana", "Europe/Amsterdam"]
OFFSET = "print(zoneinfo.ZoneInfo('Africa/Casablanca').utcoffset(datetime.datetime(2026, 12, 1)))"


@pytest.mark.parametrize("name", ZONES)
def test_offsets_are_those_of_the_pinned_package(name: str) -> None:
    with PACKAGE.joinpath(*name.split("/")).open("rb") as file:
        pinned = ZoneInfo.from_file(file)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    for hours in range(0, 6 * 365 * 24, 6):
        at = start + timedelta(hours=hours)
        assert at.astimezone(ZoneInfo(name)).utcoffset() == at.astimezone(pinned).utcoffset(), at


@pytest.mark.parametrize(("first", "offset"), [("import shared", "0:00:00"), ("", "9:00:00")])
def test_files_of_the_operating_system_are_not_read(tmp_path: Path, first: str, offset: str) -> None:
    """A system that has Tokyo's time in Casablanca. The negative control reads it."""
    wrong = tmp_path / "Africa" / "Casablanca"
    wrong.parent.mkdir()
    wrong.write_bytes((PACKAGE / "Asia" / "Tokyo").read_bytes())
    printed = subprocess.run(
        [sys.executable, "-c", f"import datetime, zoneinfo\n{first}\n{OFFSET}"],
        env=os.environ | {"PYTHONTZPATH": str(tmp_path)},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == offset


OTHER_ZONE = re.compile(
    r"""
    AT\ TIME\ ZONE\ (?!'UTC')              # a time zone of PostgreSQL
    | SET\ TIME\ ZONE | current_date | localtimestamp
    | date_trunc\([^()]*(?:\([^()]*\)[^()]*)?(?<!'UTC')\)  # in the time zone of the session
    | \w*(?:_at|_time|now\(\)|\bat)::date  # likewise
    """,
    re.VERBOSE | re.IGNORECASE,
)


def test_postgresql_computes_in_utc_only() -> None:
    """Python computes the borders of days, so the version of PostgreSQL's own time zones does not matter."""
    sources = [*CHECKOUT.glob("migrations/**/*.sql"), *CHECKOUT.glob("shared/**/*.py"), *CHECKOUT.glob("w*/**/*.py")]
    assert len(sources) > 200
    found = {
        str(path.relative_to(CHECKOUT)): match[0] for path in sources for match in OTHER_ZONE.finditer(path.read_text())
    }
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        "at AT TIME ZONE p.timezone",
        "date_trunc('day', now())",
        "date_trunc('day', at, tz)",
        "s.scan_time::date",
        "now()::date",
    ],
)
def test_another_time_zone_would_be_found(text: str) -> None:
    assert OTHER_ZONE.search(text)


@pytest.mark.parametrize("text", ["at AT TIME ZONE 'UTC'", "date_trunc('hour', now(), 'UTC')", "%(first)s::date + n"])
def test_utc_is_accepted(text: str) -> None:
    assert OTHER_ZONE.search(text) is None
