"""Judging, a player's history, and views of staff, with 10 thousand, one million and 10 million scans.

Each is its own rival: the same with 10 thousand scans. `python -m bench scale`.
"""

import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median
from uuid import UUID

from bench.scale_data import LATITUDE, LONGITUDE, SIZES, fill, seed
from bench.stack import Stack, scaled, stack
from bench.table import Figure, Table
from script.stack.postgres import DATABASE
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.infra.logging import configure
from shared.reviews import progress
from shared.reviews.scan_list import ScanFilter, list_scans
from shared.scans import store
from shared.scans.rules import Coordinates
from shared.scans.store import NewScan
from shared.settings import settings

ROUNDS, CALLS, WARMUP_CALLS = 5, 100, 20
PAGE = 51
PLAYERS = 50
"""As many as the smallest database has."""
NAMES = ("one scan judged", "page of a history", "page of all scans", "page of held scans", "page of progress")


def main(scale: float = 1.0) -> list[Table]:
    """Fill three databases, measure each in turn, and return the table."""
    sizes = {name: scaled(size, scale, minimum=10_000) for name, size in SIZES.items()}
    os.environ["LOG_LEVEL"] = "WARNING"
    with stack(seed) as where:
        configure("bench")
        urls = {name: create_database(where, name, size) for name, size in sizes.items()}
        rounds = [{name: measure(url) for name, url in urls.items()} for _ in range(ROUNDS)]
    figures = [
        Figure.of_rounds(
            f"{measured}, {sizes[size]:,} to {sizes['few']:,} scans",
            "ms",
            [(times[size][measured], times["few"][measured]) for times in rounds],
            "≤",
            1.5,
        )
        for measured in NAMES
        for size in ("many", "most")
    ]
    return [Table("Scale", figures)]


def create_database(where: Stack, name: str, scans: int) -> str:
    """Return the URL of a new database with this number of scans."""
    began = time.perf_counter()
    db.close_pool()
    with where.rival() as conn:
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (DATABASE,))
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
    url = where.rival_url.replace("/rival", f"/{name}")
    fill(url, scans)
    print(f"{scans:,} scans inserted in {time.perf_counter() - began:.0f} s")
    return url


def measure(url: str) -> dict[str, float]:
    """Return the median of each measurement in ms, in this database."""
    use(url)
    with db.connection() as conn:
        org_id = UUID(str(exactly_one(conn.execute("SELECT id FROM organizations WHERE slug = 'bench'"))[0]))
        players = cycle_players(conn)
        codes = progress.list_codes(conn, org_id)
        calls: dict[str, Callable[[], object]] = {
            "page of a history": lambda: store.list_history(conn, next(players), limit=PAGE),
            "page of all scans": lambda: list_scans(conn, org_id, ScanFilter(), limit=PAGE),
            "page of held scans": lambda: list_scans(conn, org_id, ScanFilter("held"), limit=PAGE),
            "page of progress": lambda: progress.list_players(conn, codes, limit=PLAYERS),
        }
        return {"one scan judged": judging_milliseconds(conn, players)} | {
            name: milliseconds(call) for name, call in calls.items()
        }


def use(url: str) -> None:
    """Make this process's pool connect to another database."""
    db.close_pool()
    os.environ["DATABASE_URL"] = url
    settings.cache_clear()


def cycle_players(conn: Conn) -> Iterator[UUID]:
    """Return players in random order, again and again."""
    players = conn.execute("SELECT id FROM players ORDER BY random() LIMIT 1000").fetchall()
    return (players[n % len(players)][0] for n in count())


def milliseconds(call: Callable[[], object]) -> float:
    """Return the median of the calls, after those in which plans are made and pages are read into memory."""
    took = []
    for _ in range(WARMUP_CALLS + CALLS):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1_000)
    return median(took[WARMUP_CALLS:])


def judging_milliseconds(conn: Conn, players: Iterator[UUID]) -> float:
    """Return the median time in which a worker claims, judges and settles one scan."""
    from workers.scans import judge_pending  # noqa: PLC0415 - workers ask for their stores when they are imported

    took = []
    for _ in range(WARMUP_CALLS + CALLS):
        store.accept(conn, NewScan(next(players), "new", Coordinates(LATITUDE, LONGITUDE), 5.0))
        began = time.perf_counter()
        judge_pending()
        took.append((time.perf_counter() - began) * 1_000)
    statuses = conn.execute("SELECT DISTINCT status FROM player_scans WHERE qr_code = 'new'").fetchall()
    assert statuses == [("success",)], statuses
    conn.execute("DELETE FROM player_scans WHERE qr_code = 'new'")
    conn.execute("TRUNCATE events, inventory_ledger")
    return median(took[WARMUP_CALLS:])
