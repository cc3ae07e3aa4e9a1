"""Workers that wait at a gate before a verdict: `dramatiq tests.system.gated_worker`.

GATE        the file whose making opens the gate
STOPS       "leased", with a claim and nothing else; or "locked", having read all that judging needs
WITHOUT     the guard that is missing, for negative controls: "fence" or "stock"

They say "at the gate" when they come to it, and "settled and committed" when they are through.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from shared.infra import db, leases
from shared.infra.db import Conn
from shared.infra.leases import LeasedTable
from shared.scans import judging_queries, settlement
from shared.scans.rules import JudgingContext, Scan
from tests.support.polling import eventually
from tests.support.sql_guards import create_unguarded
from workers import scans as worker
from workers.main import broker
from workers.time_limits import time_limits

__all__ = ["broker"]

gate = Path(os.environ["GATE"])
claim, read = leases.claim_new, judging_queries.lock_and_read


def stop() -> None:
    print("at the gate", flush=True)
    eventually(gate.exists, within=300)


def claim_and_stop(conn: Conn, table: LeasedTable[Any], *rest: Any, **options: Any) -> list[Any]:
    rows = claim(conn, table, *rest, **options)
    if rows and table is settlement.PENDING_SCANS:
        stop()
    return rows


def read_and_stop(*args: Any) -> tuple[list[Scan], JudgingContext]:
    known = read(*args)
    stop()
    return known


def remove_guards(*names: str) -> None:
    """Let this process find functions that guard nothing, in a schema before the others."""
    with db.dedicated_connection() as conn:
        conn.execute("CREATE SCHEMA IF NOT EXISTS unguarded")
        for name in names:
            create_unguarded(conn, name, "unguarded")
    patch(db, "OPTIONS", db.OPTIONS | {"options": "-c search_path=unguarded,public"})


def say_committed(_: bytes) -> None:
    print("settled and committed", flush=True)


patch = pytest.MonkeyPatch().setattr
# The gate may stay closed for longer than any time limit.
patch(time_limits, "enable", lambda: None)
match os.environ["STOPS"]:
    case "leased":
        patch(leases, "claim_new", claim_and_stop)
    case "locked":
        patch(judging_queries, "lock_and_read", read_and_stop)
match os.environ["WITHOUT"]:
    case "fence":
        remove_guards("lock_leased_scans")
    case "stock":
        remove_guards("lock_limited_codes", "is_in_stock")
patch(worker, "publish_verdicts", say_committed)
