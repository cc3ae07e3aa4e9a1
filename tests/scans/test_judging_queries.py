"""Judging reads counted scans by index, and stops at the first location fix."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from uuid import UUID

import pytest

from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import uuid7
from shared.scans import judging_queries
from shared.scans.judging_limits import from_settings
from shared.scans.rules import Scan
from shared.settings import settings
from tests.support.factories import AMSTERDAM, make_code, make_org

NOW = datetime.now(UTC)
PLAYERS, SCANS_EACH, BATCH = 100, 200, 20


@pytest.fixture
def org_id(conn: Conn) -> UUID:
    """Create an organization with 100 players, each with a counted scan of 200 codes, an hour apart."""
    org_id = make_org(conn)
    for n in range(1, SCANS_EACH + 1):
        make_code(conn, org_id, code=f"code{n}", cooldown_seconds=60)
    conn.execute("ALTER TABLE player_scans DISABLE TRIGGER player_scans_append_events")
    conn.execute(
        """
        WITH new_players AS (
            INSERT INTO players (username) SELECT 'player' || n FROM generate_series(1, %(players)s) n RETURNING id
        )
        INSERT INTO player_scans (player_id, qr_code_id, qr_code, scan_time, received_at, latitude, longitude, accuracy,
                                  status, settled_at)
        SELECT p.id, q.id, q.code, %(now)s - n * interval '1 hour', %(now)s - n * interval '1 hour',
               %(latitude)s, %(longitude)s, 5000, 'success', %(now)s
        FROM generate_series(1, %(scans_each)s) n JOIN qr_codes q ON q.code = 'code' || n CROSS JOIN new_players p
        """,
        {
            "players": PLAYERS,
            "scans_each": SCANS_EACH,
            "now": NOW,
            "latitude": AMSTERDAM.latitude,
            "longitude": AMSTERDAM.longitude,
        },
    )
    conn.execute("ALTER TABLE player_scans ENABLE TRIGGER player_scans_append_events")
    conn.execute("VACUUM ANALYZE player_scans, players, qr_codes")
    return org_id


def count_reads(conn: Conn) -> Counter[str]:
    """Count reads of this session: sequential scans of the table, scans of two indexes, and entries of one."""
    row = exactly_one(
        conn.execute(
            """
            SELECT pg_stat_get_xact_numscans('player_scans'::regclass),
                   pg_stat_get_xact_numscans('player_scans_locations'::regclass),
                   pg_stat_get_xact_numscans('player_scans_counted'::regclass),
                   pg_stat_get_xact_tuples_returned('player_scans_locations'::regclass)
            """
        )
    )
    return Counter(dict(zip(("table scans", "fix scans", "usage scans", "fix entries"), row, strict=True)))


@pytest.fixture
def worker_conn() -> Iterator[Conn]:
    """A connection as in a worker: statements are prepared and run by their generic plans."""
    with db.dedicated_connection() as conn:
        conn.prepare_threshold = 0
        conn.execute("SELECT set_config('plan_cache_mode', 'force_generic_plan', false)")
        yield conn


def test_context_is_read_by_index(conn: Conn, org_id: UUID, worker_conn: Conn) -> None:
    players = [row[0] for row in conn.execute("SELECT id FROM players ORDER BY id LIMIT %s", (BATCH,))]
    code_id = exactly_one(conn.execute("SELECT id FROM qr_codes WHERE code = 'code1'"))[0]
    for age, fixes_of_org in product((timedelta(), timedelta(hours=100, minutes=30)), (None, org_id)):
        scans = [Scan(uuid7(), player, "code1", code_id, NOW - age, NOW, AMSTERDAM) for player in players]
        with worker_conn.transaction():
            before = count_reads(worker_conn)
            context = judging_queries.load_context(
                worker_conn, scans, from_settings(settings()), fixes_of_org=fixes_of_org
            )
            reads = count_reads(worker_conn) - before

        # A late scan has fixes before and after it besides the last.
        expected_fixes = 3 if age else 1
        assert [len(context.location_fixes[player]) for player in players] == [expected_fixes] * BATCH
        assert [usage.count for usage in context.usages.values()] == [1] * BATCH
        assert reads["table scans"] == 0
        # One scan for the count and one for the times.
        assert reads["usage scans"] == BATCH * 2
        assert reads["fix scans"] >= BATCH * 2
        # No fix is accurate, so each search for an accurate one reads the seven days of FIX_WINDOW.
        accurate_searches = 3 if age else 1
        assert 0 < reads["fix entries"] <= BATCH * (expected_fixes + accurate_searches * 7 * 24 + 10)
