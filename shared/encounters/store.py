"""Solving puzzles, in PostgreSQL.

Each successful scan of the code opens its puzzle once. Attempts are counted, and the reward is paid, per scan.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.encounters.rules import Attempts, Puzzle
from shared.infra.db import Conn

PaidReward = tuple[str | None, int | None, UUID | None]
"""Item, quantity and issuer. All None if a puzzle gives no reward."""


@dataclass(frozen=True, kw_only=True)
class OpenPuzzle(Attempts):
    """The attempts at the puzzle that the scan `scan_id` opened."""

    scan_id: UUID


def find(conn: Conn, encounter_id: UUID) -> Puzzle | None:
    """Return the puzzle as it is now, with the reward of its code, even if the code was deleted."""
    with conn.cursor(row_factory=class_row(Puzzle)) as cursor:
        return cursor.execute(
            """
            SELECT e.puzzle_type, e.solution, e.max_attempts, q.reward_item AS reward, q.reward_quantity AS quantity,
                   q.org_id, coalesce(o.closed_at <= now(), false) AS is_closed
            FROM encounters e JOIN qr_codes q ON q.id = e.qr_code_id JOIN organizations o ON o.id = q.org_id
            WHERE e.id = %(encounter_id)s
            """,
            {"encounter_id": encounter_id},
        ).fetchone()


def lock_scans(conn: Conn, encounter_id: UUID, player_id: UUID) -> list[UUID]:
    """Lock the player's successful scans that opened a puzzle of this code. Return their ids, oldest first.

    Until the transaction ends, no other request answers for them and no review annuls them.
    """
    # In id order, so two requests never wait for each other. The attempts are read in a statement of its own: one that
    # waits for a lock and reads would see them as they were before the wait.
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT s.id FROM player_scans s
            WHERE s.player_id = %(player_id)s AND s.status = 'success' AND s.outcome ? 'encounter'
              AND s.qr_code_id = (SELECT qr_code_id FROM encounters WHERE id = %(encounter_id)s)
            ORDER BY s.id FOR NO KEY UPDATE
            """,
            {"player_id": player_id, "encounter_id": encounter_id},
        ).fetchall()


def list_attempts(conn: Conn, scan_ids: list[UUID]) -> list[OpenPuzzle]:
    """Return the attempts at the puzzles that these scans opened, in this order."""
    with conn.cursor(row_factory=class_row(OpenPuzzle)) as cursor:
        return cursor.execute(
            """
            SELECT scan_order.id AS scan_id, coalesce(a.wrong_answers, 0) AS wrong_answers,
                   a.solved_at IS NOT NULL AS is_solved
            FROM unnest(%(scan_ids)b::uuid[]) WITH ORDINALITY AS scan_order (id, position)
            LEFT JOIN encounter_attempts a ON a.scan_id = scan_order.id
            ORDER BY scan_order.position
            """,
            {"scan_ids": scan_ids},
        ).fetchall()


def record_wrong_answer(conn: Conn, scan_id: UUID) -> None:
    """Count a wrong answer."""
    conn.execute(
        """
        INSERT INTO encounter_attempts (scan_id, wrong_answers) VALUES (%(scan_id)s, 1)
        ON CONFLICT (scan_id) DO UPDATE SET wrong_answers = encounter_attempts.wrong_answers + 1
        """,
        {"scan_id": scan_id},
    )


def record_solution(conn: Conn, scan_id: UUID, encounter_id: UUID, puzzle: Puzzle) -> None:
    """Mark the puzzle solved, pay the reward of its code, and append the events.

    A second reward for one scan violates the constraint `inventory_ledger_source_key` and aborts the transaction.
    """
    params: dict[str, Any] = {
        "scan_id": scan_id,
        "encounter_id": encounter_id,
        "reward": puzzle.reward,
        "quantity": puzzle.quantity,
    }
    with conn.pipeline():
        conn.execute(
            """
            INSERT INTO encounter_attempts (scan_id, solved_at) VALUES (%(scan_id)s, now())
            ON CONFLICT (scan_id) DO UPDATE SET solved_at = EXCLUDED.solved_at
            """,
            {"scan_id": scan_id},
        )
        conn.execute(
            """
            INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
            SELECT player_id, org_id, %(reward)s, %(quantity)s, 'encounter', id
            FROM player_scans WHERE id = %(scan_id)s AND %(reward)s::text IS NOT NULL
            """,
            params,
        )
        conn.execute(
            """
            INSERT INTO events (type, player_id, org_id, data)
            SELECT new_events.type, s.player_id, s.org_id, jsonb_strip_nulls(jsonb_build_object(
                'scan_id', s.id, 'qr_code', new_events.qr_code, 'encounter_id', %(encounter_id)s::uuid,
                'reward', %(reward)s::text, 'quantity', %(quantity)s::integer,
                'org_id', CASE WHEN %(reward)s::text IS NOT NULL THEN s.org_id END))
            FROM player_scans s CROSS JOIN LATERAL (
                SELECT 1, 'encounter_solved', s.qr_code
                UNION ALL
                SELECT 2, 'reward_granted', NULL WHERE %(reward)s::text IS NOT NULL
            ) new_events (turn, type, qr_code)
            WHERE s.id = %(scan_id)s
            ORDER BY new_events.turn
            """,
            params,
        )


def get_paid_reward(conn: Conn, scan_id: UUID) -> PaidReward:
    """Return what was paid for the solved puzzle of this scan."""
    row = conn.execute(
        "SELECT item, quantity, org_id FROM inventory_ledger WHERE source = 'encounter' AND source_id = %(scan_id)s",
        {"scan_id": scan_id},
    ).fetchone()
    return row or (None, None, None)
