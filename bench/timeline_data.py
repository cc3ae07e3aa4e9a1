"""A year of scans of three codes, skewed as life is: more of them lately, by day and not by night, by some players more
than by others. One code has ten million, one a million, one ten thousand."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

from psycopg import ClientCursor

from shared.analytics import rebuild
from shared.infra import db
from shared.infra.db import Conn

PLAYERS = 20_000
SCANS = {"most": 10_000_000, "many": 1_000_000, "few": 10_000}


@contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """Print how many seconds the body took."""
    began = time.perf_counter()
    ended: list[float] = []
    yield lambda: ended[0] - began
    ended.append(time.perf_counter())


def seed(conn: Conn) -> None:
    """Players, an organization and its codes; no scans yet."""
    ClientCursor(conn).execute(
        """
        INSERT INTO players (id, username)
            SELECT ('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench' || n
            FROM generate_series(0, %s - 1) n;
        INSERT INTO organizations (name, slug) VALUES ('Bench', 'bench');
        INSERT INTO qr_codes (org_id, code, scan_type)
            SELECT o.id, code, 'item_drop' FROM organizations o, unnest(%s::text[]) code;
        """,
        (PLAYERS, list(SCANS)),
    )


def codes(conn: Conn) -> dict[str, tuple[UUID, UUID]]:
    """Each code's id and its organization's, by its text."""
    return {code: (qr_id, org_id) for code, qr_id, org_id in conn.execute("SELECT code, id, org_id FROM qr_codes")}


def fill(conn: Conn, scale: float) -> None:
    """Insert the scans, without events and without the indexes that no timeline uses. Then vacuum the table."""
    conn.execute("ALTER TABLE encounter_attempts SET UNLOGGED")  # it references the next
    conn.execute("ALTER TABLE player_scans SET UNLOGGED")
    for index in ("history", "counted", "locations", "qr_code", "verdicts"):
        conn.execute(f"DROP INDEX player_scans_{index}")
    with ThreadPoolExecutor(2) as threads:
        for insert in [threads.submit(insert_half, half, scale) for half in (0, 1)]:
            insert.result()
    conn.execute("SET maintenance_work_mem = '512MB'")
    conn.execute("CREATE INDEX player_scans_qr_code ON player_scans (qr_code_id, scan_time, id)")
    conn.execute("VACUUM ANALYZE player_scans")


def insert_half(half: int, scale: float) -> None:
    """Insert half of the scans of each code, by a connection of its own. Two of them use two cores."""
    with db.transaction() as conn:
        conn.execute("SET LOCAL session_replication_role = replica")
        for n, (code, scans) in enumerate(SCANS.items()):
            conn.execute(
                """
            INSERT INTO player_scans (id, player_id, qr_code_id, org_id, qr_code, scan_time, status, success, reason,
                                      device, settled_at)
            SELECT (to_char(%(n)s, 'FM00000000') || '-0000-7000-8000-' || lpad(to_hex(k), 12, '0'))::uuid,
                   ('00000000-0000-7000-9000-' ||
                       lpad(to_hex(floor(power(random(), 2) * %(players)s)::integer), 12, '0'))::uuid, q.id, q.org_id,
                   q.code,
                   date_trunc('day', now()) - (power(random(), 2) * 364)::integer * interval '1 day'
                       + interval '5 hours' + (random() + random()) * interval '9 hours',
                   CASE WHEN k %% 8 = 0 THEN 'failure' ELSE 'success' END, k %% 8 <> 0,
                   CASE WHEN k %% 8 = 0 THEN 'cooldown' END,
                   (ARRAY['phone', 'phone', 'phone', 'tablet', 'desktop'])[1 + k %% 5], now()
            FROM generate_series(1 + %(half)s, %(scans)s, 2) k, qr_codes q WHERE q.code = %(code)s
            """,
                {"n": n, "half": half, "players": PLAYERS, "scans": int(scans * scale), "code": code},
            )


def roll_up(conn: Conn, scale: float) -> None:
    """Fill the rollups: by `rebuild`, slice by slice as an operator would; of the ten million by one statement a table,
    which does not stop at each slice, and leaves out who scanned when, which no timeline reads."""
    from workers import analytics  # noqa: PLC0415 - workers ask for their stores when they are imported

    for code in ("many", "few"):
        subjects = rebuild.for_code(conn, codes(conn)[code][0])
        assert subjects is not None
        with timed() as took:
            analytics.rebuild(subjects)
        print(f"{int(SCANS[code] * scale):,} scans rebuilt in {took():.1f} s, {SCANS[code] * scale / took():,.0f}/s")
    most = codes(conn)["most"][0]
    conn.execute("SET work_mem = '256MB'")
    conn.execute(
        """
        INSERT INTO scan_rollup_15m
        SELECT qr_code_id, date_bin('15 minutes', scan_time, 'epoch'::timestamptz), count(*),
               count(*) FILTER (WHERE status = 'success')
        FROM player_scans WHERE qr_code_id = %s GROUP BY 1, 2
        """,
        (most,),
    )
    conn.execute(
        """
        INSERT INTO scan_rollup_daily
        SELECT qr_code_id, (scan_time AT TIME ZONE 'UTC')::date, count(*), count(*) FILTER (WHERE status = 'success'),
               0, 0, count(DISTINCT player_id), count(*) FILTER (WHERE device = 'phone'),
               count(*) FILTER (WHERE device = 'tablet'), count(*) FILTER (WHERE device = 'desktop'), 0,
               min(scan_time), max(scan_time)
        FROM player_scans WHERE qr_code_id = %s GROUP BY 1, 2
        """,
        (most,),
    )
    conn.execute("RESET work_mem")
    for table in (
        "scan_rollup_15m",
        "scan_rollup_daily",
        "scan_daily_players",
        "visit_rollup_15m",
        "visit_rollup_daily",
        "events",
    ):
        conn.execute(f"VACUUM ANALYZE {table}")


def prepare(scale: float) -> None:
    """All of it, in this process's database."""
    with db.connection() as conn:
        with timed() as took:
            fill(conn, scale)
        print(f"{int(sum(SCANS.values()) * scale):,} scans inserted in {took():.0f} s")
        roll_up(conn, scale)
