"""Puzzles being solved, in PostgreSQL.

Each successful scan that handed the puzzle out opens it once: attempts are counted, and the reward is owed, by scan.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.encounters.rules import Attempts, Puzzle
from shared.infra import event_log
from shared.infra.db import Conn

PaidReward = tuple[str | None, int | None]


@dataclass(frozen=True, kw_only=True)
class OpenPuzzle(Attempts):
    """A successful scan that handed out a puzzle, and what was tried on it."""

    scan_id: UUID


def find(conn: Conn, encounter_id: UUID) -> Puzzle | None:
    """The puzzle as it stands, also of a code that was removed since, with what its code pays."""
    with conn.cursor(row_factory=class_row(Puzzle)) as cursor:
        return cursor.execute(
            """
            SELECT e.puzzle_type, e.solution, e.max_attempts, q.reward_item AS reward, q.reward_quantity AS quantity
            FROM encounters e JOIN qr_codes q ON q.id = e.qr_code_id
            WHERE e.id = %s
            """,
            (encounter_id,),
        ).fetchone()


def lock_scans(conn: Conn, encounter_id: UUID, player_id: UUID) -> list[UUID]:
    """The player's successful scans that handed out a puzzle of this code, the oldest first. Until the transaction
    ends nobody else answers for them, and staff do not annul them.

    Which of them are solved has to be asked in a statement of its own: one that both waits and reads would show the
    attempts as they were before the wait.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT s.id FROM player_scans s
            WHERE s.player_id = %s AND s.status = 'success' AND s.outcome ? 'encounter'
              AND s.qr_code_id = (SELECT qr_code_id FROM encounters WHERE id = %s)
            ORDER BY s.id FOR NO KEY UPDATE
            """,
            (player_id, encounter_id),
        ).fetchall()


def list_attempts(conn: Conn, scan_ids: list[UUID]) -> list[OpenPuzzle]:
    """What was tried on the puzzles that these scans opened, in the same order."""
    with conn.cursor(row_factory=class_row(OpenPuzzle)) as cursor:
        return cursor.execute(
            """
            SELECT given.id AS scan_id, coalesce(a.wrong_answers, 0) AS wrong_answers,
                   a.solved_at IS NOT NULL AS is_solved
            FROM unnest(%b::uuid[]) WITH ORDINALITY AS given (id, place)
            LEFT JOIN encounter_attempts a ON a.scan_id = given.id
            ORDER BY given.place
            """,
            (scan_ids,),
        ).fetchall()


def record_wrong_answer(conn: Conn, scan_id: UUID) -> None:
    """Count a wrong answer."""
    conn.execute(
        """
        INSERT INTO encounter_attempts (scan_id, wrong_answers) VALUES (%s, 1)
        ON CONFLICT (scan_id) DO UPDATE SET wrong_answers = encounter_attempts.wrong_answers + 1
        """,
        (scan_id,),
    )


def record_solution(conn: Conn, scan_id: UUID, encounter_id: UUID, puzzle: Puzzle) -> None:
    """Mark the puzzle solved, pay what its code gives, and tell of it. A second reward for one scan is refused by the
    constraint `inventory_ledger_source_key`, and takes its whole transaction with it."""
    given: dict[str, Any] = {
        "scan": scan_id,
        "encounter": encounter_id,
        "reward": puzzle.reward,
        "quantity": puzzle.quantity,
    }
    with conn.pipeline():
        conn.execute(
            """
            INSERT INTO encounter_attempts (scan_id, solved_at) VALUES (%s, now())
            ON CONFLICT (scan_id) DO UPDATE SET solved_at = EXCLUDED.solved_at
            """,
            (scan_id,),
        )
        conn.execute(
            """
            INSERT INTO inventory_ledger (player_id, item, quantity, source, source_id)
            SELECT player_id, %(reward)s, %(quantity)s, 'encounter', id
            FROM player_scans WHERE id = %(scan)s AND %(reward)s::text IS NOT NULL
            """,
            given,
        )
        conn.execute(
            """
            INSERT INTO events (type, player_id, org_id, data)
            SELECT told.type, s.player_id, q.org_id, jsonb_strip_nulls(jsonb_build_object(
                'scan_id', s.id, 'qr_code', told.qr_code, 'encounter_id', %(encounter)s::uuid,
                'reward', %(reward)s::text, 'quantity', %(quantity)s::integer))
            FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id
            CROSS JOIN LATERAL (
                SELECT 1, 'encounter_solved', s.qr_code
                UNION ALL
                SELECT 2, 'reward_granted', NULL WHERE %(reward)s::text IS NOT NULL
            ) told (turn, type, qr_code)
            WHERE s.id = %(scan)s
            ORDER BY told.turn
            """,
            given,
        )
        event_log.notify_relay(conn)


def get_paid_reward(conn: Conn, scan_id: UUID) -> PaidReward:
    """What solving the puzzle of this scan was paid with."""
    row = conn.execute(
        "SELECT item, quantity FROM inventory_ledger WHERE source = 'encounter' AND source_id = %s", (scan_id,)
    ).fetchone()
    return row or (None, None)
