"""Every staff page costs the same small number of statements for 3 and for 30 rows of everything that it shows."""

from itertools import count
from typing import Any

from shared.infra.db import Conn, exactly_one
from shared.organizations import store as organizations
from shared.organizations.rules import ROLES
from tests.pages.test_access import PAGES
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff
from tests.support.query_counts import collected_queries

MAX_QUERIES = 15
QUERIES = (
    "/codes?tag=east",
    "/map?tag=east",
    "/progress?of=tag:east",
    "/progress?of=quest:{name}",
    "/live?tag=east",
    "/scans?tag=east",
    "/scans?player=player1",
    "/scans?period=7d",
    "/analytics?period=1y&compare=1",
)
"""Pages whose filters read something else."""
NUMBERS = count(1)
ADD_ROWS = """
    WITH new_players AS (
        INSERT INTO players (username) VALUES ('player' || %(n)s) RETURNING id
    ), new_members AS (
        INSERT INTO memberships (org_id, player_id, role) SELECT %(org_id)s, id, 'member' FROM new_players
    ), new_codes AS (
        INSERT INTO qr_codes (org_id, code, scan_type, reward_item, reward_quantity, tags, rotating, requires_location,
                              latitude, longitude)
        VALUES (%(org_id)s, 'code' || %(n)s, 'item_drop', 'gem' || %(n)s, 1, ARRAY['east', 'tag' || %(n)s], true, true,
                52.37, 4.89)
        RETURNING id
    ), new_screens AS (
        INSERT INTO code_screens (org_id, qr_code_id, name, token_digest)
        SELECT %(org_id)s, id, 'Entrance', sha256(id::text::bytea) FROM new_codes
    ), new_keys AS (
        INSERT INTO api_keys (org_id, name, prefix, digest, scopes, created_by)
        SELECT %(org_id)s, 'Kiosk', 'wm_' || substr(md5(id::text), 1, 12), sha256(id::text::bytea), '{scan}', id
        FROM new_players
    ), new_invitations AS (
        INSERT INTO invitations (org_id, role, token_digest, uses, uses_left, expires_at)
        SELECT %(org_id)s, 'member', sha256(id::text::bytea), 1, 1, now() + interval '7 days' FROM new_players
    ), new_entries AS (
        INSERT INTO audit_log (org_id, actor_kind, player_id, action, object_id)
        SELECT %(org_id)s, 'player', p.id, 'code.created', c.id FROM new_players p, new_codes c
    ), new_quests AS (
        INSERT INTO quests (name, streak, duplication, org_id, managed_by, active, tags)
        VALUES ('quest-' || %(n)s, 1, 1, %(org_id)s, 'organization', true, ARRAY['tag' || %(n)s, 'east'])
    ), new_items AS (
        INSERT INTO items (org_id, item) VALUES (%(org_id)s, 'gem' || %(n)s)
    ), new_redemptions AS (
        INSERT INTO redemptions (id, token_digest, player_id, org_id, item, quantity, confirmed_by)
        SELECT id, sha256(id::text::bytea), id, %(org_id)s, 'gem' || %(n)s, 1, %(caller)s FROM new_players
    ), new_renders AS (
        INSERT INTO render_jobs (org_id, requested_by, output, format, size, error_correction, total, open_chunks)
        SELECT %(org_id)s, id, 'zip', 'png', 300, 'M', 1, 1 FROM new_players
    )
    SELECT p.id, c.id FROM new_players p, new_codes c
"""
ADD_SCANS = """
    INSERT INTO player_scans (player_id, qr_code_id, status, reason, settled_at, latitude, longitude, accuracy)
    SELECT %(player_id)s, %(qr_id)s, verdicts.status, verdicts.reason, now(), 52.37, 4.89, 5
    FROM (VALUES ('held', 'impossible_travel'), ('success', NULL), ('failure', 'not_present'))
         AS verdicts (status, reason)
    RETURNING id
"""


def add_rows(conn: Conn, staff: Staff, rows: int) -> dict[str, Any]:
    """Add this number of rows of everything. Return the ids in the addresses of the last ones."""
    ids: dict[str, Any] = {}
    for _ in range(rows):
        n = str(next(NUMBERS))
        player_id, qr_id = exactly_one(
            conn.execute(ADD_ROWS, {"n": n, "org_id": staff.org_id, "caller": staff.owner.id})
        )
        scans = conn.execute(ADD_SCANS, {"player_id": player_id, "qr_id": qr_id}).fetchall()
        ids = {"code_id": qr_id, "scan_id": scans[0][0], "name": f"quest-{n}"}
    ids["render_id"] = exactly_one(conn.execute("SELECT id FROM render_jobs ORDER BY id DESC LIMIT 1"))[0]
    ids["import_id"] = exactly_one(
        conn.execute("INSERT INTO imports (org_id, partial) VALUES (%s, false) RETURNING id", (staff.org_id,))
    )[0]
    return ids


def test_staff_pages_cost_the_same_queries_for_3_and_30_rows(app: Any, conn: Conn, staff: Staff) -> None:
    client = browser_of(app, staff.owner)
    slug = organizations.get_slug(conn, staff.org_id)
    paths = [path for path, role in PAGES.items() if role in ROLES] + [f"/o/{{slug}}{query}" for query in QUERIES]
    counts: dict[str, list[int]] = {path: [] for path in paths}

    for rows in (3, 27):
        ids = add_rows(conn, staff, rows) | {"slug": slug}
        for path in paths:
            opened = path.format(**ids)
            # The first request fills caches.
            assert client.get(opened, headers=BROWSER).status_code == 200, opened
            with collected_queries() as queries:
                client.get(opened, headers=BROWSER)
            counts[path].append(len(queries))

    assert {path: each for path, each in counts.items() if each[0] != each[1]} == {}
    assert {path: each[1] for path, each in counts.items() if each[1] > MAX_QUERIES} == {}
