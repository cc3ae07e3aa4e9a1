"""Databases with 10 thousand, one million and 10 million scans, which differ in nothing else that a request reads.

Every player has 200 scans, every twentieth of which is held. Half of the scans belong to other organizations.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg import ClientCursor

from shared.infra.db import Conn

SIZES = {"few": 10_000, "many": 1_000_000, "most": 10_000_000}
SCANS_PER_PLAYER = 200
CODES = 2 * SCANS_PER_PLAYER
LATITUDE, LONGITUDE = 52.3731, 4.8926
STEP = 0.00002  # degrees from one code to the next: no player travels impossibly fast
INDEXES_OF_SCANS = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE tablename = 'player_scans' AND indexname <> 'player_scans_pkey' ORDER BY indexname
"""


def seed(conn: Conn) -> None:
    """Insert codes of two organizations, and one without scans. The even ones belong to `bench`."""
    ClientCursor(conn).execute(
        """
        INSERT INTO organizations (name, slug) VALUES ('Bench', 'bench'), ('Other', 'other');
        INSERT INTO qr_codes (org_id, code, scan_type, requires_location, latitude, longitude, reward_item,
                              reward_quantity)
            SELECT o.id, 'bench' || n, 'item_drop', true, %(latitude)s + n * %(step)s, %(longitude)s, 'gem', 1
            FROM generate_series(0, %(codes)s - 1) n
            JOIN organizations o ON o.slug = CASE n %% 2 WHEN 0 THEN 'bench' ELSE 'other' END;
        INSERT INTO qr_codes (org_id, code, scan_type, requires_location, latitude, longitude, reward_item,
                              reward_quantity, per_player_limit)
            SELECT id, 'new', 'item_drop', true, %(latitude)s, %(longitude)s, 'gem', 1, NULL
            FROM organizations WHERE slug = 'bench';
        """,
        {"codes": CODES, "latitude": LATITUDE, "longitude": LONGITUDE, "step": STEP},
    )


def fill(url: str, scans: int) -> None:
    """Insert players with their scans, without events. The indexes are made afterwards, which is several times faster.

    Nothing is written ahead: no measurement depends on it, and it would take most of the time.
    """
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("ALTER TABLE encounter_attempts SET UNLOGGED")  # it references the next
        conn.execute("ALTER TABLE player_scans SET UNLOGGED")
        conn.execute(
            "INSERT INTO players (username) SELECT 'bench' || n FROM generate_series(0, %s - 1) n",
            (scans // SCANS_PER_PLAYER,),
        )
        conn.execute("VACUUM ANALYZE players, qr_codes, organizations")
        indexes = conn.execute(INDEXES_OF_SCANS).fetchall()
        for name, _ in indexes:
            conn.execute(f"DROP INDEX {name}")
        with ThreadPoolExecutor(2) as threads:
            halves = [threads.submit(insert_half, url, half, scans) for half in (0, 1)]
            for inserted in halves:
                inserted.result()
            for created in [threads.submit(create_index, url, definition) for _, definition in indexes]:
                created.result()
        conn.execute("VACUUM ANALYZE player_scans")


def insert_half(url: str, half: int, scans: int) -> None:
    """Insert every second scan, in the order of time. Two connections use two cores."""
    with psycopg.connect(url) as conn:
        conn.execute("SET LOCAL session_replication_role = replica")
        conn.execute(
            """
            INSERT INTO player_scans (id, player_id, qr_code_id, org_id, qr_code, latitude, longitude, accuracy,
                                      scan_time, received_at, status, success, reason, device, settled_at)
            SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, p.id, q.id, q.org_id, q.code,
                   q.latitude, q.longitude, 5, times.at, times.at, verdicts.status,
                   nullif(verdicts.status = 'success', false), verdicts.reason, 'phone', times.at
            FROM generate_series(%(half)s, %(scans)s - 1, 2) n
            CROSS JOIN LATERAL (SELECT now() - make_interval(secs => (%(scans)s - n) * 15e6 / %(scans)s)) times (at)
            CROSS JOIN LATERAL (
                SELECT CASE WHEN n %% 20 = 0 THEN 'held' ELSE 'success' END,
                       CASE WHEN n %% 20 = 0 THEN 'impossible_travel' END
            ) verdicts (status, reason)
            JOIN players p ON p.username = 'bench' || n %% %(players)s
            JOIN qr_codes q ON q.code = 'bench' || (n / %(players)s + n) %% %(codes)s
            """,
            {"half": half, "scans": scans, "players": scans // SCANS_PER_PLAYER, "codes": CODES},
        )


def create_index(url: str, definition: Any) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SET maintenance_work_mem = '1GB'")
        conn.execute(definition)
