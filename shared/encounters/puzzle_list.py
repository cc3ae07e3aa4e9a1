"""A player's puzzles, in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from shared.encounters.rules import PuzzleType
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST


@dataclass(frozen=True)
class ListedPuzzle:
    """A puzzle as its player sees it. The reward is None until it is solved, and if it gives none."""

    scan_id: UUID
    encounter_id: UUID
    qr_code: str
    description: str
    puzzle_type: PuzzleType
    difficulty_level: int
    data: dict[str, Any]
    attempts_left: int | None
    solved: bool
    solved_at: datetime | None
    closes_at: datetime
    reward: str | None
    quantity: int | None


# Few puzzles of a player are open at once. They are found first, so the statement never walks through the closed ones.
SELECT_OPEN = """
    SELECT scan_id, encounter_id, qr_code, description, puzzle_type, difficulty_level, data, attempts_left, solved,
           solved_at, closes_at, reward, quantity
    FROM opened_puzzles
    WHERE scan_id = ANY (ARRAY (
        SELECT scan_id FROM encounter_attempts
        WHERE player_id = %(player_id)s AND solved_at IS NULL AND closes_at > now() AND scan_id < %(before)s
    )) AND is_open
    ORDER BY scan_id DESC LIMIT %(limit)s
"""
# `ANY` of one player keeps the statement in the index of players. With `player_id = …`, the order is that of the
# primary key, and the plan may walk through the puzzles of every player.
SELECT_ANY = """
    SELECT scan_id, encounter_id, qr_code, description, puzzle_type, difficulty_level, data, attempts_left, solved,
           solved_at, closes_at, reward, quantity
    FROM opened_puzzles
    WHERE player_id = ANY (ARRAY[%(player_id)s::uuid]) AND scan_id < %(before)s AND NOT (%(only_closed)s AND is_open)
    ORDER BY player_id DESC, scan_id DESC LIMIT %(limit)s
"""


def list_puzzles(
    conn: Conn, player_id: UUID, *, is_open: bool | None, limit: int, before: UUID | None = None
) -> list[ListedPuzzle]:
    """Return puzzles that the player's scans opened, newest first, after the one of the scan `before`.

    `is_open` selects those that accept another answer, or those that do not; None selects all.
    """
    params = {"player_id": player_id, "before": before or HIGHEST, "limit": limit}
    with conn.cursor(row_factory=class_row(ListedPuzzle)) as cursor:
        if is_open:
            return cursor.execute(SELECT_OPEN, params).fetchall()
        return cursor.execute(SELECT_ANY, params | {"only_closed": is_open is False}).fetchall()
