"""Bodies of all kinds of codes, with characters that are difficult in files."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from shared.codes.rules import CODE_PATTERN
from shared.encounters.rules import is_solvable

NASTY = "=+-@\t\r\n'\"|;,\\ é\ufeff\u2028😀"
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\x00") | st.sampled_from(NASTY)
TEXT = st.text(CHARACTERS, max_size=12)
PRINTED = st.characters(codec="utf-8", min_codepoint=0x20, exclude_characters="\x7f|") | st.sampled_from("=+-@'\";, ")
TAG = st.text(PRINTED, min_size=1, max_size=8)
CODES = st.from_regex(CODE_PATTERN, fullmatch=True)
TIMES = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 30), timezones=st.just(UTC)).map(  # noqa: DTZ001
    datetime.isoformat
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(-1e6, 1e6) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def fields(needed: dict[str, Any], others: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(needed, optional=others)


REWARDS = fields({"item": TAG.filter(str.strip), "quantity": st.integers(1, 1_000_000)}, {})
ENCOUNTERS = fields(
    {"puzzle_type": st.sampled_from(["decryption", "pattern", "hacking"]), "difficulty_level": st.integers(1, 10)},
    {
        "data": st.dictionaries(TEXT, VALUES, max_size=3),
        "solution": TEXT.map("x{}".format),
        "max_attempts": st.integers(1, 2**31 - 1),
    },
).filter(lambda puzzle: "solution" not in puzzle or is_solvable(puzzle["puzzle_type"], puzzle["solution"]))
COUNTS = st.none() | st.integers(1, 2**31 - 1)
COORDINATES = st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.booleans())
BODIES = st.builds(
    lambda body, coordinates, urls: body | (urls if body["scan_type"] is None else {}) | _coordinates(coordinates),
    fields(
        {"code": CODES, "scan_type": st.sampled_from([None, "item_drop", "encounter", "transportation"])},
        {
            "description": TEXT,
            "radius_m": st.floats(5, 50_000),
            "reward": REWARDS,
            "encounter": ENCOUNTERS,
            "target_url": st.just("https://example.com/a,b;c?d='e'"),
            "active": st.booleans(),
            "starts_at": TIMES,
            "expires_at": TIMES,
            "max_scans": st.none() | st.integers(1, 10**12),
            "per_player_limit": COUNTS,
            "cooldown_seconds": COUNTS | st.just(0),
            "offline_hours": st.none() | st.floats(0, 2160),
            "answer_within_hours": st.floats(0, 8760, exclude_min=True),
            "rotating": st.booleans(),
            "rotation_seconds": st.integers(5, 3600),
            "tags": st.lists(TAG, max_size=4),
        },
    ),
    st.none() | COORDINATES,
    st.just({"target_url": "http://example.com"}),
).filter(lambda body: body.get("starts_at", "") < body.get("expires_at", "~"))
"""Valid bodies."""


def _coordinates(coordinates: tuple[float, float, bool] | None) -> dict[str, Any]:
    if coordinates is None:
        return {}
    return {"latitude": coordinates[0], "longitude": coordinates[1], "requires_location": coordinates[2]}
