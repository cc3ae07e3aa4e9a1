"""Workers that wait at a gate before a verdict: `dramatiq tests.system.gated_worker`.

GATE        the file whose making opens the gate
STOPS       "leased", with a claim and nothing else; or "locked", having read all that judging needs
WITHOUT     the guard that is missing, for negative controls: "fence" or "stock"

They say "at the gate" when they come to it, and "settled and committed" when they are through.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from shared.infra import leases
from shared.infra.db import Conn
from shared.infra.leases import LeasedTable
from shared.scans import settlement
from shared.scans.rules import JudgingContext, Scan
from tests.support.polling import eventually
from workers import scans as worker
from workers.main import broker
from workers.time_limits import time_limits

__all__ = ["broker"]

gate = Path(os.environ["GATE"])
claim, context = leases.claim_new, settlement.load_context


def stop() -> None:
    print("at the gate", flush=True)
    eventually(gate.exists, within=300)


def claim_and_stop(conn: Conn, table: LeasedTable[Any], *rest: Any, **options: Any) -> list[Any]:
    rows = claim(conn, table, *rest, **options)
    if rows and table is settlement.PENDING_SCANS:
        stop()
    return rows


def read_and_stop(conn: Conn, scans: Sequence[Scan]) -> JudgingContext:
    known = context(conn, scans)
    stop()
    return known


def lock_nothing(_: Conn, __: UUID, scans: Sequence[Scan]) -> list[Scan]:
    return list(scans)


def lock_no_codes(_: Conn, __: Iterable[UUID]) -> None:
    return None


def say_committed(_: list[Scan]) -> None:
    print("settled and committed", flush=True)


patch = pytest.MonkeyPatch().setattr
# The gate may stay closed for longer than any time limit.
patch(time_limits, "enable", lambda: None)
match os.environ["STOPS"]:
    case "leased":
        patch(leases, "claim_new", claim_and_stop)
    case "locked":
        patch(settlement, "load_context", read_and_stop)
match os.environ["WITHOUT"]:
    case "fence":
        patch(settlement, "lock_scans", lock_nothing)
    case "stock":
        patch(settlement, "lock_limited_codes", lock_no_codes)
        patch(settlement, "check_stock", lambda _: None)
patch(worker, "publish_verdicts", say_committed)
