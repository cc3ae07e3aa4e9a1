"""Lists of an organization read its own rows, however many newer rows other organizations have."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

import shared.organizations.invitations
import shared.organizations.members
import shared.organizations.store
import shared.renders.store
from shared.audit.store import SELECT_ENTRIES
from shared.codes import screens
from shared.codes.export import SELECT_MAX_ID, SELECT_RANGE
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST, LOWEST
from shared.organizations import api_keys
from shared.renders.code_selection import SELECT_CODE_IDS
from tests.support.factories import make_org

PAGE = 51
ROWS = 5_000
INSERT_CODES = """
    INSERT INTO qr_codes (org_id, code, scan_type)
    SELECT %(org_id)s, substr(md5(%(org_id)s::text || n), 1, 12), 'item_drop' FROM generate_series(1, %(rows)s) n
"""
INSERT_SCREENS = """
    WITH new_codes AS (
        INSERT INTO qr_codes (org_id, code, scan_type, rotating)
        SELECT %(org_id)s, substr(md5(%(org_id)s::text || n), 1, 12), 'item_drop', true
        FROM generate_series(1, %(rows)s) n RETURNING id
    )
    INSERT INTO code_screens (org_id, qr_code_id, name, token_digest)
    SELECT %(org_id)s, id, 'Entrance', sha256(id::text::bytea) FROM new_codes
"""
INSERT_RENDERS = """
    INSERT INTO render_jobs (org_id, output, format, size, error_correction, total, open_chunks)
    SELECT %(org_id)s, 'zip', 'png', 300, 'M', 1, 1 FROM generate_series(1, %(rows)s)
"""
INSERT_KEYS = """
    INSERT INTO api_keys (org_id, name, prefix, digest, scopes)
    SELECT %(org_id)s, 'Kiosk', 'wm_' || substr(md5(%(org_id)s::text || n), 1, 12), sha256(n::text::bytea), '{scan}'
    FROM generate_series(1, %(rows)s) n
"""
INSERT_ENTRIES = """
    INSERT INTO audit_log (org_id, actor_kind, action)
    SELECT %(org_id)s, 'operator', 'code.changed' FROM generate_series(1, %(rows)s)
"""
INSERT_MEMBERS = """
    WITH new_players AS (
        INSERT INTO players (username)
        SELECT substr(md5(%(org_id)s::text || n), 1, 12) FROM generate_series(1, %(rows)s) n RETURNING id
    )
    INSERT INTO memberships (org_id, player_id, role) SELECT %(org_id)s, id, 'member' FROM new_players
"""
INSERT_INVITATIONS = """
    INSERT INTO invitations (org_id, role, token_digest, uses, uses_left, expires_at)
    SELECT %(org_id)s, 'member', sha256((%(org_id)s::text || n)::bytea), 1, 1, now() + interval '7 days'
    FROM generate_series(1, %(rows)s) n
"""


@dataclass(frozen=True)
class Listing:
    """A statement that lists rows of an organization, and the index that it reads."""

    table: str
    insert: str
    select: str
    index: str
    rows: int = PAGE
    modes: tuple[str, ...] = ("force_custom_plan", "force_generic_plan")


LISTINGS = {
    "renders": Listing("render_jobs", INSERT_RENDERS, shared.renders.store.SELECT_PAGE, "render_jobs_org"),
    "codes of a render": Listing("qr_codes", INSERT_CODES, SELECT_CODE_IDS, "qr_codes_org"),
    "export": Listing("qr_codes", INSERT_CODES, SELECT_RANGE, "qr_codes_org"),
    "newest code": Listing("qr_codes", INSERT_CODES, SELECT_MAX_ID, "qr_codes_org", rows=1),
    "screens": Listing("code_screens", INSERT_SCREENS, screens.SELECT_PAGE, "code_screens_org"),
    "API keys": Listing("api_keys", INSERT_KEYS, api_keys.SELECT_PAGE, "api_keys_org"),
    "members": Listing("memberships", INSERT_MEMBERS, shared.organizations.members.SELECT_MEMBERS, "memberships_pkey"),
    "invitations": Listing(
        "invitations", INSERT_INVITATIONS, shared.organizations.invitations.SELECT_PAGE, "invitations_org"
    ),
    # Never prepared, so never planned for any value.
    "audit log": Listing("audit_log", INSERT_ENTRIES, SELECT_ENTRIES, "audit_log_org", modes=("force_custom_plan",)),
}
VALUES = {"before": HIGHEST, "after": LOWEST, "until": HIGHEST, "limit": PAGE}


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS.keys())
def test_a_page_reads_no_row_of_another_organization(conn: Conn, listing: Listing) -> None:
    """Older and newer rows belong to others. With `org_id = …`, plans walk the primary key."""
    older, org_id, newer = (make_org(conn) for _ in range(3))
    for owner in (older, org_id, newer):
        conn.execute(listing.insert, {"org_id": owner, "rows": ROWS})
    # Without statistics of codes, plans expect few of them, and start there if a statement allows it.
    conn.execute("DELETE FROM pg_statistic WHERE starelid = 'qr_codes'::regclass")
    conn.execute(f"VACUUM ANALYZE {listing.table}")

    for mode in listing.modes:
        scan = explain(conn, listing, mode, org_id=org_id)
        assert scan["Index Name"] == listing.index, mode
        assert scan["Actual Rows"] == listing.rows, mode
        assert scan.get("Rows Removed by Filter", 0) == 0, mode


def test_organizations_of_a_player_read_no_other_membership(conn: Conn) -> None:
    """The player has the older half of all memberships."""
    statement = shared.organizations.store.SELECT_OF_PLAYER
    listing = Listing("memberships", "", statement, "memberships_player")
    players = conn.execute("INSERT INTO players (username) VALUES ('older'), ('newer') RETURNING id").fetchall()
    for (player_id,) in players:
        conn.execute(
            """
            WITH new_organizations AS (
                INSERT INTO organizations (name, slug)
                SELECT 'Museum', substr(md5(%(player_id)s::text || n), 1, 12) FROM generate_series(1, 2000) n
                RETURNING id
            )
            INSERT INTO memberships (org_id, player_id, role) SELECT id, %(player_id)s, 'owner' FROM new_organizations
            """,
            {"player_id": player_id},
        )
    conn.execute("VACUUM ANALYZE memberships, organizations")

    for mode in listing.modes:
        scan = explain(conn, listing, mode, player_id=players[0][0])
        assert scan["Index Name"] == listing.index, mode
        assert scan["Actual Rows"] == PAGE, mode
        assert scan.get("Rows Removed by Filter", 0) == 0, mode


class Placeholders(dict[str, str]):
    """The placeholder `$n` of each name, in order of first use."""

    def __missing__(self, name: str) -> str:
        return self.setdefault(name, f"${len(self) + 1}")


def explain(conn: Conn, listing: Listing, plan_cache_mode: str, **ids: UUID) -> dict[str, Any]:
    """Return the only node that reads the table, with what it read. Parameters without a value are null.

    Destinations of codes (`d`) are left out.
    """
    placeholders = Placeholders()
    conn.execute("PREPARE page AS " + listing.select % placeholders)
    values = VALUES | ids
    arguments = ", ".join(f"'{values[name]}'" if name in values else "NULL" for name in placeholders)
    conn.execute(f"SET plan_cache_mode = {plan_cache_mode}")
    try:
        explained = conn.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE page ({arguments})")
        (plan,) = exactly_one(explained)[0]
    finally:
        conn.execute("RESET plan_cache_mode")
        conn.execute("DEALLOCATE page")
    reads = [node for node in nodes(plan["Plan"]) if node.get("Alias") != "d"]
    (scan,) = [node for node in reads if node.get("Relation Name") == listing.table]
    return scan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
