"""Puzzles, opened and answered."""

from typing import Any
from uuid import UUID

from shared.infra.db import Conn
from tests.support.callers import SignedInPlayer
from tests.support.factories import make_code, make_encounter, submit_scan
from workers.scans import judge_pending

RIGHT, WRONG = "open sesame", "open barley"


def make_puzzle(conn: Conn, org_id: UUID | None = None, **fields: Any) -> tuple[UUID, UUID]:
    """Create a code with a puzzle. Return both ids. `max_attempts`, `solution` and `puzzle_type` go to the puzzle."""
    changes = {name: fields.pop(name) for name in ("max_attempts", "solution", "puzzle_type") if name in fields}
    code_id = make_code(conn, org_id, scan_type="encounter", **fields)
    encounter_id = make_encounter(conn, code_id)
    for column, value in changes.items():
        conn.execute(f"UPDATE encounters SET {column} = %s WHERE id = %s", (value, encounter_id))
    return code_id, encounter_id


def open_puzzle(conn: Conn, player: SignedInPlayer, code_id: UUID) -> UUID:
    """Submit a scan of the code that succeeds."""
    scan_id = submit_scan(conn, player.id, code_id)
    judge_pending()
    assert conn.execute("SELECT status FROM player_scans WHERE id = %s", (scan_id,)).fetchone() == ("success",)
    return scan_id


def close_puzzle(conn: Conn, scan_id: UUID) -> None:
    """Let the time to answer the puzzle of a scan end now."""
    assert conn.execute("UPDATE encounter_attempts SET closes_at = now() WHERE scan_id = %s", (scan_id,)).rowcount == 1


def answer(client: Any, player: SignedInPlayer, encounter_id: UUID, text: Any = RIGHT, key: str | None = None) -> Any:
    headers = player.headers | ({"Idempotency-Key": key} if key else {})
    return client.post(f"/encounters/{encounter_id}/solve", json={"answer": text}, headers=headers)


def balance(conn: Conn, player_id: UUID) -> int:
    row = conn.execute("SELECT coalesce(sum(quantity), 0) FROM inventory_ledger WHERE player_id = %s", (player_id,))
    return int((row.fetchone() or (0,))[0])
