"""Players and failures of today and yesterday, and the activity of several organizations."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared.infra.db import Conn
from shared.reviews import recent_days as counts
from shared.reviews.activity import activity_by_organization
from shared.reviews.recent_days import recent_days
from tests.reviews.test_scan_list import insert
from tests.support.factories import code_text, make_code, make_held_scan, make_org, make_player

TODAY = datetime(2026, 6, 2, 22, tzinfo=UTC)
"""Midnight in Amsterdam."""
YESTERDAY = TODAY - timedelta(days=1)
SECOND = timedelta(seconds=1)


def test_days_start_at_midnight_of_the_zone(conn: Conn) -> None:
    org = make_org(conn)
    code, other = make_code(conn, org, description="Dam Square"), make_code(conn)
    ada, ben = make_player(conn), make_player(conn)
    for player, at, status, reason in (
        (ada, TODAY, "success", None),
        (ada, TODAY + SECOND, "failure", "cooldown"),
        (ada, TODAY + SECOND, "failure", "cooldown"),
        (ada, TODAY + SECOND, "failure", "not_present"),
        (ben, TODAY - SECOND, "failure", "expired"),
        (ada, YESTERDAY, "held", "burst"),
        (ben, YESTERDAY - SECOND, "success", None),
        (make_player(conn), TODAY, "pending", None),
    ):
        insert(conn, player, code, at, status, reason)
    insert(conn, make_player(conn), other, TODAY, "failure", "expired")

    found = recent_days(conn, org, yesterday=YESTERDAY, today=TODAY)

    assert (found.players, found.players_before) == (1, 2)
    assert (found.held, found.held_before) == (0, 1)
    named = {"qr_id": str(code), "code": code_text(conn, code), "description": "Dam Square"}
    assert found.failures == [
        named | {"reason": "cooldown", "count": 2},
        named | {"reason": "not_present", "count": 1},
    ]
    assert found.is_complete


def test_counts_of_too_many_scans_are_lower_bounds(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MAX_READ", 3)
    org = make_org(conn)
    code = make_code(conn, org)
    for number in range(4):
        insert(conn, make_player(conn), code, TODAY + number * SECOND)

    found = recent_days(conn, org, yesterday=YESTERDAY, today=TODAY)

    assert (found.players, found.is_complete) == (3, False)


def test_organization_without_scans_has_no_counts(conn: Conn) -> None:
    found: Any = recent_days(conn, make_org(conn), yesterday=YESTERDAY, today=TODAY)

    assert (found.players, found.held, found.failures, found.is_complete) == (0, 0, [], True)


def test_activity_of_several_organizations(conn: Conn) -> None:
    busy, calm, unasked = make_org(conn), make_org(conn), make_org(conn)
    for org in (busy, busy, unasked):
        make_held_scan(conn, make_player(conn), make_code(conn, org))
    conn.execute(
        """
        INSERT INTO scan_rollup_daily (subject_id, day, count, success, held, annulled, unique_players, phone, tablet,
                                       desktop, other, first_at, last_at)
        SELECT %s, day, 1, 1, 0, 0, 1, 1, 0, 0, 0, last_at, last_at
        FROM (VALUES ('2026-06-01'::date, %s), ('2026-06-02', %s), ('2026-06-03', NULL)) days (day, last_at)
        """,
        (busy, YESTERDAY, TODAY),
    )

    found = activity_by_organization(conn, [busy, calm, uuid4()])

    assert (found[busy].held, found[busy].last_scan_at) == (2, TODAY)
    assert (found[calm].held, found[calm].last_scan_at) == (0, None)
    assert unasked not in found
