"""Codes in PostgreSQL, with their puzzles.

A text leads to its code, also after a rename. A deleted code leaves a tombstone. Its text stays with the organization,
which can use it again.
"""

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row, scalar_row

from shared.codes.filters import CodeFilter
from shared.codes.rules import CODE_PATTERN, MAX_ALIASES, CodeDefinition, CodeReward, EncounterDefinition
from shared.errors import CodeDeleted, DestinationInUse, TooManyAliases, UnknownDestination
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST, uuid7

# Without 0, O, I and l, which are misread.
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# 70 bits: too many to guess.
GENERATED_LENGTH = 12


@dataclass(frozen=True, kw_only=True)
class StoredCode(CodeDefinition):
    """A code as it is stored."""

    id: UUID
    org_id: UUID
    created_at: datetime
    updated_at: datetime


CODE_COLUMNS = """
    SELECT q.id, q.org_id, q.code, q.description, q.scan_type, q.requires_location, q.latitude, q.longitude, q.radius_m,
           q.reward_item, q.reward_quantity, d.code AS destination_code, q.target_url, q.active, q.starts_at,
           q.expires_at, q.max_scans, q.per_player_limit, q.cooldown_seconds, q.offline_hours, q.answer_within_hours,
           q.rotating, q.rotation_seconds, q.tags, q.created_at, q.updated_at, e.id AS encounter_id, e.puzzle_type,
           e.difficulty_level, e.data, e.solution, e.max_attempts
"""
JOINED = "LEFT JOIN encounters e ON e.qr_code_id = q.id LEFT JOIN qr_codes d ON d.id = q.destination_id"
SELECT_CODE = CODE_COLUMNS + " FROM qr_codes q " + JOINED + " WHERE q.deleted_at IS NULL "
SELECT_PAGE = (
    CODE_COLUMNS
    + " FROM matching_codes(%(org_id)s, %(pattern)s, %(tag)s, %(scan_type)s, %(active)s) q "
    + JOINED
    + """
    WHERE q.id < %(before)s
    ORDER BY q.org_id DESC, q.id DESC
    LIMIT %(limit)s
"""
)


def to_stored_code(
    *,
    reward_item: str | None,
    reward_quantity: int | None,
    encounter_id: UUID | None,
    puzzle_type: Any,
    difficulty_level: Any,
    data: Any,
    solution: str | None,
    max_attempts: int | None,
    tags: list[str],
    **columns: Any,
) -> StoredCode:
    """Return the code of a row of SELECT_CODE, with its reward and its puzzle."""
    encounter = None
    if encounter_id is not None:
        encounter = EncounterDefinition(puzzle_type, difficulty_level, data, solution, max_attempts, encounter_id)
    reward = None
    if reward_item is not None and reward_quantity is not None:
        reward = CodeReward(reward_item, reward_quantity)
    return StoredCode(reward=reward, encounter=encounter, tags=tuple(tags), **columns)


def find(conn: Conn, org_id: UUID, qr_id: UUID) -> StoredCode | None:
    """Return a code of the organization, or None if it has no such code."""
    with conn.cursor(row_factory=kwargs_row(to_stored_code)) as cursor:
        return cursor.execute(
            SELECT_CODE + "AND q.org_id = %(org_id)s AND q.id = %(qr_id)s", {"org_id": org_id, "qr_id": qr_id}
        ).fetchone()


def find_by_code(conn: Conn, code: str) -> StoredCode | None:
    """Return the code that this text leads to, of any organization. None if no code ever had it.

    Raises CodeDeleted if the code or the alias was deleted.
    """
    if not re.fullmatch(CODE_PATTERN, code):
        return None
    text = conn.execute("SELECT qr_code_id FROM code_texts WHERE code = %(code)s", {"code": code}).fetchone()
    if text is None:
        return None
    with conn.cursor(row_factory=kwargs_row(to_stored_code)) as cursor:
        found = cursor.execute(SELECT_CODE + "AND q.id = %(qr_id)s", {"qr_id": text[0]}).fetchone()
    if found is None:
        raise CodeDeleted
    return found


def list_for_organization(
    conn: Conn, org_id: UUID, conditions: CodeFilter, *, limit: int, before: UUID | None = None
) -> list[StoredCode]:
    """Return codes of the organization, newest first, after the code `before`."""
    with conn.cursor(row_factory=kwargs_row(to_stored_code)) as cursor:
        return cursor.execute(
            SELECT_PAGE,
            conditions.parameters(org_id) | {"before": before or HIGHEST, "limit": limit},
            prepare=False,
        ).fetchall()


def list_by_ids(conn: Conn, org_id: UUID, qr_ids: Sequence[UUID]) -> list[StoredCode]:
    """Return those of these codes that the organization has, in order of id."""
    with conn.cursor(row_factory=kwargs_row(to_stored_code)) as cursor:
        return cursor.execute(
            SELECT_CODE + "AND q.org_id = %(org_id)s AND q.id = ANY (%(qr_ids)s) ORDER BY q.id",
            {"org_id": org_id, "qr_ids": list(qr_ids)},
        ).fetchall()


def generate_code_text() -> str:
    """Return a random code text."""
    return "".join(secrets.choice(BASE58) for _ in range(GENERATED_LENGTH))


@translate_constraint_errors()
def add(conn: Conn, org_id: UUID, new: CodeDefinition) -> UUID:
    """Insert a code and its puzzle, and return its id.

    Raises UnknownDestination. Raises CodeTaken; the transaction stays usable.
    """
    qr_id, destination_id = uuid7(), _lock_destination(conn, org_id, new.destination_code)
    with conn.transaction():
        conn.execute(
            """
            INSERT INTO qr_codes (id, org_id, code, description, scan_type, requires_location, latitude, longitude,
                                  radius_m, reward_item, reward_quantity, destination_id, target_url, active,
                                  starts_at, expires_at, max_scans, per_player_limit, cooldown_seconds,
                                  offline_hours, answer_within_hours, rotating, rotation_seconds, tags)
            VALUES (%(id)s, %(org_id)s, %(code)s, %(description)s, %(scan_type)s, %(requires_location)s, %(latitude)s,
                    %(longitude)s, %(radius_m)s, %(reward_item)s, %(reward_quantity)s, %(destination_id)s,
                    %(target_url)s, %(active)s, %(starts_at)s, %(expires_at)s, %(max_scans)s, %(per_player_limit)s,
                    %(cooldown_seconds)s, %(offline_hours)s, %(answer_within_hours)s, %(rotating)s,
                    %(rotation_seconds)s, %(tags)s)
            """,
            to_columns(new) | {"id": qr_id, "org_id": org_id, "destination_id": destination_id},
        )
        if new.encounter is not None:
            _save_encounter(conn, qr_id, new.encounter)
    return qr_id


def lock(conn: Conn, org_id: UUID, *qr_ids: UUID) -> None:
    """Lock codes: until the transaction ends, no other request changes them and no worker settles their scans.

    Call it before the read: a statement that waits for the lock and reads would see a code as it was before the wait.
    """
    # Codes with a stock first, then by id, as workers lock them.
    conn.execute(
        """
        SELECT FROM qr_codes WHERE org_id = %(org_id)s AND id = ANY (%(qr_ids)s)
        ORDER BY max_scans IS NULL, id FOR NO KEY UPDATE
        """,
        {"org_id": org_id, "qr_ids": list(qr_ids)},
    )


@translate_constraint_errors()
def save(conn: Conn, changed: StoredCode) -> None:
    """Update all fields of a code and its puzzle. After a rename, the old text is an alias.

    Raises CodeTaken and UnknownDestination.
    """
    destination_id = _lock_destination(conn, changed.org_id, changed.destination_code)
    if destination_id == changed.id:
        raise UnknownDestination("Use another code than this one.")
    conn.execute(
        """
        UPDATE qr_codes
        SET code = %(code)s, description = %(description)s, scan_type = %(scan_type)s,
            requires_location = %(requires_location)s, latitude = %(latitude)s, longitude = %(longitude)s,
            radius_m = %(radius_m)s, reward_item = %(reward_item)s, reward_quantity = %(reward_quantity)s,
            destination_id = %(destination_id)s, target_url = %(target_url)s, active = %(active)s,
            starts_at = %(starts_at)s, expires_at = %(expires_at)s, max_scans = %(max_scans)s,
            per_player_limit = %(per_player_limit)s, cooldown_seconds = %(cooldown_seconds)s,
            offline_hours = %(offline_hours)s, answer_within_hours = %(answer_within_hours)s, rotating = %(rotating)s,
            rotation_seconds = %(rotation_seconds)s, tags = %(tags)s, updated_at = now()
        WHERE id = %(id)s
        """,
        to_columns(changed) | {"id": changed.id, "destination_id": destination_id},
    )
    if changed.encounter is not None:
        _save_encounter(conn, changed.id, changed.encounter)
    else:
        conn.execute("DELETE FROM encounters WHERE qr_code_id = %(id)s", {"id": changed.id})


def check_aliases(conn: Conn, qr_id: UUID) -> None:
    """Raise TooManyAliases if a rename left more aliases than MAX_ALIASES. The caller holds the lock of `lock`."""
    (texts,) = exactly_one(
        conn.execute("SELECT count(*) FROM code_texts WHERE qr_code_id = %(qr_id)s", {"qr_id": qr_id})
    )
    # One text is the current one.
    if texts > MAX_ALIASES + 1:
        raise TooManyAliases


def delete(conn: Conn, org_id: UUID, *qr_ids: UUID) -> int:
    """Turn codes of the organization into tombstones, to which their scans still refer. Return how many existed.

    Raises DestinationInUse if codes that stay lead to one of them.
    """
    params = {"org_id": org_id, "qr_ids": list(qr_ids)}
    lock(conn, org_id, *qr_ids)
    # FOR UPDATE waits for transactions that make one of them the destination of a code, or insert scans: they hold KEY
    # SHARE. They take it by id. The read is a statement of its own: it must see what was committed.
    conn.execute("SELECT FROM qr_codes WHERE id = ANY (%(qr_ids)s) ORDER BY id FOR UPDATE", params)
    leading = conn.execute(
        """
        SELECT code, count(*) OVER () FROM qr_codes q
        WHERE destination_id = ANY (%(qr_ids)s) AND deleted_at IS NULL
          AND NOT EXISTS (SELECT FROM unnest(%(qr_ids)s::uuid[]) deleted (id) WHERE deleted.id = q.id)
        ORDER BY code LIMIT %(limit)s
        """,
        params | {"limit": DestinationInUse.MAX_NAMED},
    ).fetchall()
    if leading:
        raise DestinationInUse([code for code, _ in leading], leading[0][1], deleted=len(qr_ids))
    return conn.execute(
        """
        UPDATE qr_codes SET deleted_at = now(), updated_at = now()
        WHERE org_id = %(org_id)s AND id = ANY (%(qr_ids)s) AND deleted_at IS NULL
        """,
        params,
    ).rowcount


def _lock_destination(conn: Conn, org_id: UUID, code: str | None) -> UUID | None:
    """Return the code of the organization that this text leads to. It cannot be deleted until the transaction ends."""
    if code is None:
        return None
    with conn.cursor(row_factory=scalar_row) as cursor:
        destination_id: UUID | None = cursor.execute(
            """
            SELECT q.id FROM code_texts t JOIN qr_codes q ON q.id = t.qr_code_id
            WHERE t.code = %(code)s AND q.org_id = %(org_id)s AND q.deleted_at IS NULL
            FOR KEY SHARE OF q
            """,
            {"code": code, "org_id": org_id},
        ).fetchone()
    if destination_id is None:
        raise UnknownDestination
    return destination_id


def _save_encounter(conn: Conn, qr_id: UUID, encounter: EncounterDefinition) -> None:
    # A code has at most one puzzle. A changed puzzle keeps its id.
    conn.execute(
        """
        INSERT INTO encounters (qr_code_id, puzzle_type, difficulty_level, data, solution, max_attempts)
        VALUES (%(qr_id)s, %(puzzle_type)s, %(difficulty_level)s, %(data)s, %(solution)s, %(max_attempts)s)
        ON CONFLICT (qr_code_id) DO UPDATE
        SET puzzle_type = EXCLUDED.puzzle_type, difficulty_level = EXCLUDED.difficulty_level, data = EXCLUDED.data,
            solution = EXCLUDED.solution, max_attempts = EXCLUDED.max_attempts
        """,
        {
            "qr_id": qr_id,
            "puzzle_type": encounter.puzzle_type,
            "difficulty_level": encounter.difficulty_level,
            "data": json.dumps(encounter.data),
            "solution": encounter.solution,
            "max_attempts": encounter.max_attempts,
        },
    )


def to_columns(code: CodeDefinition) -> dict[str, Any]:
    """Return the values of the columns that an organization sets, with the destination by its text.

    The puzzle is in a table of its own.
    """
    columns = {field.name: getattr(code, field.name) for field in fields(CodeDefinition)}
    reward, _encounter = columns.pop("reward"), columns.pop("encounter")
    return columns | {
        "tags": list(code.tags),
        "reward_item": reward and reward.item,
        "reward_quantity": reward and reward.quantity,
    }
