"""Players with a puzzle in hand."""

from typing import Any
from uuid import UUID

from shared.infra.db import Conn
from tests.support.callers import SignedInPlayer
from tests.support.factories import make_code, make_encounter, submit_scan
from workers.scans import judge_pending

RIGHT, WRONG = "open sesame", "open barley"


def make_puzzle(conn: Conn, org_id: UUID | None = None, **fields: Any) -> tuple[UUID, UUID]:
    """A code that hands out a puzzle, and the puzzle. `max_attempts` and `solution` are the puzzle's."""
    changes = {name: fields.pop(name) for name in ("max_attempts", "solution", "puzzle_type") if name in fields}
    code_id = make_code(conn, org_id, scan_type="encounter", **fields)
    encounter_id = make_encounter(conn, code_id)
    for column, value in changes.items():
        conn.execute(f"UPDATE encounters SET {column} = %s WHERE id = %s", (value, encounter_id))
    return code_id, encounter_id


def open_puzzle(conn: Conn, player: SignedInPlayer, code_id: UUID) -> UUID:
    """A successful scan of the code."""
    scan_id = submit_scan(conn, player.id, code_id)
    judge_pending()
    assert conn.execute("SELECT status FROM player_scans WHERE id = %s", (scan_id,)).fetchone() == ("success",)
    return scan_id


def answer(client: Any, player: SignedInPlayer, encounter_id: UUID, text: Any = RIGHT, key: str | None = None) -> Any:
    headers = player.headers | ({"Idempotency-Key": key} if key else {})
    return client.post(f"/encounters/{encounter_id}/solve", json={"answer": text}, headers=headers)


def balance(conn: Conn, player_id: UUID) -> int:
    row = conn.execute("SELECT coalesce(sum(quantity), 0) FROM inventory_ledger WHERE player_id = %s", (player_id,))
    return int((row.fetchone() or (0,))[0])
