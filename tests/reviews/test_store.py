"""The list of reviews reads its own organization's scans, however many other organizations have."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST
from shared.reviews import store
from tests.support.factories import code_text, make_code, make_held_scan, make_org, make_player

PAGE = 51
PLACEHOLDERS = {"org_id": "$1", "status": "$2", "before": "$3", "limit": "$4"}


def hold_many(conn: Conn, org_id: UUID, scans: int) -> None:
    """Insert held scans of an organization, without events. They are newer than all that were there."""
    code, player = make_code(conn, org_id), make_player(conn)
    conn.execute("ALTER TABLE player_scans DISABLE TRIGGER player_scans_append_events")
    conn.execute(
        """
        INSERT INTO player_scans (player_id, qr_code_id, org_id, qr_code, status, reason, settled_at)
        SELECT %s, %s, %s, 'x', 'held', 'burst', now() FROM generate_series(1, %s)
        """,
        (player, code, org_id, scans),
    )
    conn.execute("ALTER TABLE player_scans ENABLE TRIGGER player_scans_append_events")
    conn.execute("VACUUM ANALYZE player_scans")


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


@pytest.mark.parametrize("others", [50_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_a_page_reads_no_scan_of_another_organization(conn: Conn, others: int) -> None:
    """Planned for these values, and for any."""
    org = make_org(conn)
    code, player = make_code(conn, org), make_player(conn)
    held = [make_held_scan(conn, player, code) for _ in range(3)]
    hold_many(conn, make_org(conn), others)

    plans = [list(nodes(explain(conn, org, mode))) for mode in ("force_custom_plan", "force_generic_plan")]

    for plan in plans:
        (scan,) = [node for node in plan if node.get("Relation Name") == "player_scans"]
        assert scan["Index Name"] == "player_scans_reviews"
        assert scan["Actual Rows"] * scan["Actual Loops"] == len(held)
        assert "Rows Removed by Filter" not in scan
        assert "Sort" not in {node["Node Type"] for node in plan}
    listed = store.list_for_organization(conn, org, "held", limit=PAGE)
    assert [review.scan_id for review in listed] == sorted(held, reverse=True)


def explain(conn: Conn, org_id: UUID, plan_cache_mode: str) -> dict[str, Any]:
    """Return the plan of a page of held scans, with what it read."""
    conn.execute(f"SET plan_cache_mode = {plan_cache_mode}")
    # A hash join with a few codes and players, whose statistics vary, would be followed by a sort of the page.
    conn.execute("SET enable_hashjoin = off")
    conn.execute("PREPARE page (uuid, text, uuid, int) AS " + store.SELECT_PAGE % PLACEHOLDERS)
    try:
        statement = f"EXECUTE page ('{org_id}', 'held', '{HIGHEST}', {PAGE})"
        (plan,) = exactly_one(conn.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement))[0]
    finally:
        conn.execute("DEALLOCATE page")
        conn.execute("RESET plan_cache_mode")
        conn.execute("RESET enable_hashjoin")
    return dict(plan["Plan"])


@pytest.mark.parametrize("text", [None, "as printed"])
def test_a_row_inserted_by_hand_gets_its_organization(conn: Conn, text: str | None) -> None:
    org = make_org(conn)
    code, player = make_code(conn, org), make_player(conn)
    conn.execute("INSERT INTO player_scans (player_id, qr_code_id, qr_code) VALUES (%s, %s, %s)", (player, code, text))
    row = exactly_one(conn.execute("SELECT org_id, qr_code FROM player_scans"))
    assert row == (org, text or code_text(conn, code))


def test_a_row_with_a_code_text_alone_belongs_to_no_organization(conn: Conn) -> None:
    make_code(conn, make_org(conn))
    conn.execute("INSERT INTO player_scans (player_id, qr_code) SELECT %s, code FROM qr_codes", (make_player(conn),))
    assert exactly_one(conn.execute("SELECT qr_code_id, org_id FROM player_scans")) == (None, None)


def test_a_scan_cannot_name_the_organization_of_another_code(conn: Conn) -> None:
    code, other, player = make_code(conn, make_org(conn)), make_org(conn), make_player(conn)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        conn.execute(
            "INSERT INTO player_scans (player_id, qr_code_id, org_id, qr_code) VALUES (%s, %s, %s, 'x')",
            (player, code, other),
        )
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        conn.execute(
            "INSERT INTO player_scans (player_id, qr_code, org_id) VALUES (%s, 'unknown', %s)", (player, other)
        )
    assert refused.value.diag.constraint_name == "player_scans_org_of_code"
