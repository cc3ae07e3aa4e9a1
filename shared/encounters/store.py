"""Solving puzzles, in PostgreSQL.

Each successful scan of the code opens its puzzle once. Attempts are counted, and the reward is paid, per scan, under
the terms of the time of the scan.
"""

from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row, scalar_row

from shared import reward_metrics
from shared.encounters.rules import OpenedPuzzle, PuzzleType, Solution, to_solution
from shared.infra.db import Conn, exactly_one

PaidReward = tuple[str | None, int | None, UUID | None]
"""Item, quantity and issuer. All None if a puzzle gives no reward."""


def find_solution(conn: Conn, encounter_id: UUID) -> Solution | None:
    """Return the current solution of a puzzle. None if it has none, or was removed from its code."""
    row = conn.execute(
        "SELECT puzzle_type, solution FROM encounters WHERE id = %(encounter_id)s", {"encounter_id": encounter_id}
    ).fetchone()
    return to_solution(*row) if row else None


def exists(conn: Conn, encounter_id: UUID) -> bool:
    """Return whether a code has this puzzle."""
    row = conn.execute("SELECT FROM encounters WHERE id = %(encounter_id)s", {"encounter_id": encounter_id}).fetchone()
    return row is not None


def lock_scans(conn: Conn, encounter_id: UUID, player_id: UUID) -> list[UUID]:
    """Lock the player's successful scans that opened this puzzle. Return their ids, oldest first.

    Until the transaction ends, no other request answers for them and no review annuls them.
    """
    # In id order, so two requests never wait for each other. The attempts are read in a statement of its own: one that
    # waits for a lock and reads would see them as they were before the wait.
    with conn.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(
            """
            SELECT s.id FROM encounter_attempts a JOIN player_scans s ON s.id = a.scan_id
            WHERE a.player_id = %(player_id)s AND a.encounter_id = %(encounter_id)s AND s.status = 'success'
            ORDER BY s.id FOR NO KEY UPDATE OF s
            """,
            {"player_id": player_id, "encounter_id": encounter_id},
        ).fetchall()


def list_opened(conn: Conn, scan_ids: list[UUID]) -> list[OpenedPuzzle]:
    """Return the puzzles that these scans opened, oldest first."""
    with conn.cursor(row_factory=kwargs_row(_to_opened_puzzle)) as cursor:
        return cursor.execute(
            """
            SELECT s.id AS scan_id, s.org_id, s.outcome #>> '{encounter,puzzle_type}' AS puzzle_type,
                   a.solution_digest, a.max_attempts, a.reward_item AS reward, a.reward_quantity AS quantity,
                   a.wrong_answers, a.solved_at IS NOT NULL AS is_solved,
                   coalesce(a.closes_at <= now(), false) AS is_closed,
                   coalesce(o.closed_at <= now(), false) AS is_organization_closed
            FROM player_scans s JOIN encounter_attempts a ON a.scan_id = s.id JOIN organizations o ON o.id = s.org_id
            WHERE s.id = ANY (%(scan_ids)b) ORDER BY s.id
            """,
            {"scan_ids": scan_ids},
        ).fetchall()


def _to_opened_puzzle(*, puzzle_type: PuzzleType, solution_digest: bytes | None, **columns: Any) -> OpenedPuzzle:
    solution = None if solution_digest is None else Solution(puzzle_type, solution_digest)
    return OpenedPuzzle(solution=solution, **columns)


def record_wrong_answer(conn: Conn, scan_id: UUID) -> None:
    """Count a wrong answer."""
    exactly_one(
        conn.execute(
            """
            UPDATE encounter_attempts SET wrong_answers = wrong_answers + 1 WHERE scan_id = %(scan_id)s
            RETURNING wrong_answers
            """,
            {"scan_id": scan_id},
        )
    )


def record_solution(conn: Conn, encounter_id: UUID, puzzle: OpenedPuzzle) -> None:
    """Mark the puzzle solved, pay its reward, and append the events.

    A second reward for one scan violates the constraint `inventory_ledger_source_key` and aborts the transaction.
    """
    params: dict[str, Any] = {
        "scan_id": puzzle.scan_id,
        "encounter_id": encounter_id,
        "reward": puzzle.reward,
        "quantity": puzzle.quantity,
    }
    with conn.pipeline():
        conn.execute(
            "UPDATE encounter_attempts SET solved_at = now() WHERE scan_id = %(scan_id)s", {"scan_id": puzzle.scan_id}
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
    reward_metrics.record(conn, "encounter", puzzle.reward is not None)


def get_paid_reward(conn: Conn, scan_id: UUID) -> PaidReward:
    """Return what was paid for the solved puzzle of this scan."""
    row = conn.execute(
        "SELECT item, quantity, org_id FROM inventory_ledger WHERE source = 'encounter' AND source_id = %(scan_id)s",
        {"scan_id": scan_id},
    ).fetchone()
    return row or (None, None, None)
