"""Scans accepted per second by 24 connections whose disk takes a millisecond, with and without NOTIFY in each insert.

The rival's rows have no device, as rows inserted by hand, so the trigger notifies of each. A procedure inserts and
commits, so that PostgreSQL is what is measured. `commit_delay` simulates the disk: it delays each flush of the log.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench.table import Figure
from shared.infra import db
from shared.infra.db import Conn, exactly_one

WRITERS, FLUSH_MICROSECONDS = 24, 1_000
ROUNDS, SECONDS = 3, 4.0
WRITE_SCANS = """
    CREATE OR REPLACE PROCEDURE write_scans(seconds double precision, device text, INOUT scans bigint)
    LANGUAGE plpgsql AS $$
    DECLARE
        players uuid[] := ARRAY (SELECT id FROM players ORDER BY random() LIMIT 100);
        deadline timestamptz := clock_timestamp() + make_interval(secs => seconds);
    BEGIN
        scans := 0;
        WHILE clock_timestamp() < deadline LOOP
            INSERT INTO player_scans (player_id, qr_code_id, org_id, qr_code, device)
                SELECT players[1 + scans % 100], id, org_id, code, write_scans.device
                FROM qr_codes WHERE code = 'bench' || scans % 200;
            COMMIT;
            scans := scans + 1;
        END LOOP;
    END $$
"""


def measure(scale: float) -> list[Figure]:
    """Measure alternating rounds, after one of each to warm up."""
    with writers() as conns, ThreadPoolExecutor(WRITERS) as threads:

        def rate(device: str | None) -> float:
            seconds = SECONDS * scale
            return sum(threads.map(lambda conn: write_scans(conn, seconds, device), conns)) / seconds

        _, *rounds = [(rate("phone"), rate(None)) for _ in range(1 + ROUNDS)]
    return [Figure.of_rounds("accepted by 24 writers, 1 ms per flush", "scans/s", rounds, "≥", 4)]


@contextmanager
def writers() -> Iterator[list[Conn]]:
    """Open the connections."""
    conns = [db.dedicated_connection() for _ in range(WRITERS)]
    try:
        conns[0].execute(WRITE_SCANS)
        for conn in conns:
            conn.execute(
                "SELECT set_config('commit_delay', %(delay)s, false), set_config('commit_siblings', '0', false)",
                {"delay": str(FLUSH_MICROSECONDS)},
            )
        yield conns
    finally:
        for conn in conns:
            conn.close()


def write_scans(conn: Conn, seconds: float, device: str | None) -> int:
    """Insert scans, each in its own transaction. Return how many."""
    row = exactly_one(
        conn.execute("CALL write_scans(%(seconds)s, %(device)s, NULL)", {"seconds": seconds, "device": device})
    )
    return int(row[0])
