"""Codes in PostgreSQL, with their puzzles. A deleted code leaves a tombstone, and its text is free again."""

import json
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row, scalar_row

from shared.codes.rules import CODE_PATTERN, CodeDefinition, CodeReward, EncounterDefinition, ScanType
from shared.errors import CodeTaken
from shared.infra.constraint_errors import translate_constraint_errors
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST, uuid7

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"  # without 0 O I l, which are misread
GENERATED_LENGTH = 12  # 70 bits: nobody guesses the next one
DEFINITION_COLUMNS = (
    "code",
    "description",
    "scan_type",
    "requires_location",
    "latitude",
    "longitude",
    "radius_m",
    "reward_item",
    "reward_quantity",
    "destination_code",
    "target_url",
    "active",
    "starts_at",
    "expires_at",
    "max_scans",
    "per_player_limit",
    "cooldown_seconds",
    "rotating",
    "tags",
)
"""The columns that hold what an organization decided."""


@dataclass(frozen=True, kw_only=True)
class StoredCode(CodeDefinition):
    """A code as it stands."""

    id: UUID
    org_id: UUID
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class CodeFilter:
    """Which codes of an organization: all that is given must hold. `text` is a part of the code or its description."""

    text: str | None = None
    tag: str | None = None
    scan_type: ScanType | None = None
    active: bool | None = None


SELECT = """
    SELECT q.id, q.org_id, q.code, q.description, q.scan_type, q.requires_location, q.latitude, q.longitude, q.radius_m,
           q.reward_item, q.reward_quantity, q.destination_code, q.target_url, q.active, q.starts_at, q.expires_at,
           q.max_scans, q.per_player_limit, q.cooldown_seconds, q.rotating, q.tags, q.created_at, q.updated_at,
           e.id AS encounter_id, e.puzzle_type, e.difficulty_level, e.data, e.solution, e.max_attempts
    FROM qr_codes q LEFT JOIN encounters e ON e.qr_code_id = q.id
    WHERE q.deleted_at IS NULL
"""


def _stored(
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
    """A row, with its reward and its puzzle put together."""
    encounter = None
    if encounter_id is not None:
        encounter = EncounterDefinition(puzzle_type, difficulty_level, data, solution, max_attempts, encounter_id)
    reward = None
    if reward_item is not None and reward_quantity is not None:
        reward = CodeReward(reward_item, reward_quantity)
    return StoredCode(reward=reward, encounter=encounter, tags=tuple(tags), **columns)


def find(conn: Conn, org_id: UUID, qr_id: UUID) -> StoredCode | None:
    """One code of an organization."""
    with conn.cursor(row_factory=kwargs_row(_stored)) as cursor:
        return cursor.execute(SELECT + "AND q.org_id = %s AND q.id = %s", (org_id, qr_id)).fetchone()


def find_by_code(conn: Conn, code: str) -> StoredCode | None:
    """The code with this text, whosever it is."""
    if not re.fullmatch(CODE_PATTERN, code):
        return None
    with conn.cursor(row_factory=kwargs_row(_stored)) as cursor:
        return cursor.execute(SELECT + "AND q.code = %s", (code,)).fetchone()


def of_organization(
    conn: Conn, org_id: UUID, which: CodeFilter, *, limit: int, before: UUID | None = None
) -> list[StoredCode]:
    """Codes of an organization, newest first, from past `before` on."""
    text = None if which.text is None else "%" + re.sub(r"([\\%_])", r"\\\1", which.text) + "%"
    with conn.cursor(row_factory=kwargs_row(_stored)) as cursor:
        return cursor.execute(
            SELECT
            + """
              AND q.org_id = %(org)s AND q.id < %(before)s
              AND (%(text)s::text IS NULL OR q.code ILIKE %(text)s OR q.description ILIKE %(text)s)
              AND (%(tag)s::text IS NULL OR q.tags @> ARRAY[%(tag)s::text])
              AND (%(scan_type)s::text IS NULL OR q.scan_type = %(scan_type)s)
              AND (%(active)s::boolean IS NULL OR q.active = %(active)s)
            ORDER BY q.id DESC
            LIMIT %(limit)s
            """,
            {
                "org": org_id,
                "before": before or HIGHEST,
                "text": text,
                "tag": which.tag,
                "scan_type": which.scan_type,
                "active": which.active,
                "limit": limit,
            },
        ).fetchall()


def list_range(conn: Conn, org_id: UUID, *, after: UUID, until: UUID, limit: int) -> list[StoredCode]:
    """Codes of an organization from past one id to another."""
    with conn.cursor(row_factory=kwargs_row(_stored)) as cursor:
        return cursor.execute(
            SELECT + "AND q.org_id = %s AND q.id > %s AND q.id <= %s ORDER BY q.id LIMIT %s",
            (org_id, after, until, limit),
        ).fetchall()


def max_id(conn: Conn, org_id: UUID) -> UUID | None:
    """The greatest id of the organization's codes: by the clock of whoever gave it, which may be ahead."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        found: UUID | None = cursor.execute(
            "SELECT id FROM qr_codes WHERE org_id = %s AND deleted_at IS NULL ORDER BY id DESC LIMIT 1", (org_id,)
        ).fetchone()
    return found


def find_existing(conn: Conn, org_id: UUID, texts: Collection[str], *, until: UUID) -> set[str]:
    """Those of these texts that are codes of the organization, up to an id."""
    rows = conn.execute(
        "SELECT code FROM qr_codes WHERE org_id = %s AND code = ANY(%s) AND id <= %s AND deleted_at IS NULL",
        (org_id, list(texts), until),
    )
    return {row[0] for row in rows}


def code_exists(conn: Conn, org_id: UUID, code: str) -> bool:
    """Whether the organization has a code with this text."""
    row = conn.execute(
        "SELECT FROM qr_codes WHERE code = %s AND org_id = %s AND deleted_at IS NULL", (code, org_id)
    ).fetchone()
    return row is not None


def generate_code_text() -> str:
    """A code for those who gave none."""
    return "".join(secrets.choice(BASE58) for _ in range(GENERATED_LENGTH))


def add(conn: Conn, org_id: UUID, new: CodeDefinition) -> UUID:
    """Add a code and its puzzle; returns its id. Raises CodeTaken, with which the transaction can go on."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        qr_id: UUID | None = cursor.execute(
            """
            INSERT INTO qr_codes (id, org_id, code, description, scan_type, requires_location, latitude, longitude,
                                  radius_m, reward_item, reward_quantity, destination_code, target_url, active,
                                  starts_at, expires_at, max_scans, per_player_limit, cooldown_seconds, rotating, tags)
            VALUES (%(id)s, %(org_id)s, %(code)s, %(description)s, %(scan_type)s, %(requires_location)s, %(latitude)s,
                    %(longitude)s, %(radius_m)s, %(reward_item)s, %(reward_quantity)s, %(destination_code)s,
                    %(target_url)s, %(active)s, %(starts_at)s, %(expires_at)s, %(max_scans)s, %(per_player_limit)s,
                    %(cooldown_seconds)s, %(rotating)s, %(tags)s)
            ON CONFLICT (code) WHERE deleted_at IS NULL DO NOTHING
            RETURNING id
            """,
            to_columns(new) | {"id": uuid7(), "org_id": org_id},
        ).fetchone()
    if qr_id is None:
        raise CodeTaken
    if new.encounter is not None:
        _save_encounter(conn, qr_id, new.encounter)
    return qr_id


def lock(conn: Conn, org_id: UUID, qr_id: UUID) -> None:
    """Until the transaction ends, nobody else changes the code, and no scan of it is settled.

    A statement of its own, before `find`: one that waits and reads would show the puzzle as it was before the wait.
    """
    conn.execute("SELECT FROM qr_codes WHERE org_id = %s AND id = %s FOR NO KEY UPDATE", (org_id, qr_id))


@translate_constraint_errors()
def save(conn: Conn, changed: StoredCode) -> None:
    """Store what was decided about a code anew. Raises CodeTaken."""
    conn.execute(
        """
        UPDATE qr_codes
        SET code = %(code)s, description = %(description)s, scan_type = %(scan_type)s,
            requires_location = %(requires_location)s, latitude = %(latitude)s, longitude = %(longitude)s,
            radius_m = %(radius_m)s, reward_item = %(reward_item)s, reward_quantity = %(reward_quantity)s,
            destination_code = %(destination_code)s, target_url = %(target_url)s, active = %(active)s,
            starts_at = %(starts_at)s, expires_at = %(expires_at)s, max_scans = %(max_scans)s,
            per_player_limit = %(per_player_limit)s, cooldown_seconds = %(cooldown_seconds)s, rotating = %(rotating)s,
            tags = %(tags)s, updated_at = now()
        WHERE id = %(id)s
        """,
        to_columns(changed) | {"id": changed.id},
    )
    if changed.encounter is not None:
        _save_encounter(conn, changed.id, changed.encounter)
    else:
        conn.execute("DELETE FROM encounters WHERE qr_code_id = %s", (changed.id,))


def delete(conn: Conn, org_id: UUID, qr_id: UUID) -> bool:
    """Put a tombstone: scans keep what they were made of. Whether there was such a code."""
    gone = conn.execute(
        """
        UPDATE qr_codes SET deleted_at = now(), updated_at = now() WHERE org_id = %s AND id = %s AND deleted_at IS NULL
        """,
        (org_id, qr_id),
    )
    return gone.rowcount == 1


def _save_encounter(conn: Conn, qr_id: UUID, encounter: EncounterDefinition) -> None:
    """A code has one puzzle at most; a changed one keeps its id."""
    conn.execute(
        """
        INSERT INTO encounters (qr_code_id, puzzle_type, difficulty_level, data, solution, max_attempts)
        VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (qr_code_id) DO UPDATE
        SET puzzle_type = EXCLUDED.puzzle_type, difficulty_level = EXCLUDED.difficulty_level, data = EXCLUDED.data,
            solution = EXCLUDED.solution, max_attempts = EXCLUDED.max_attempts
        """,
        (
            qr_id,
            encounter.puzzle_type,
            encounter.difficulty_level,
            json.dumps(encounter.data),
            encounter.solution,
            encounter.max_attempts,
        ),
    )


def to_columns(code: CodeDefinition) -> dict[str, Any]:
    """What is decided about a code, by the columns that hold it; its puzzle stands elsewhere."""
    decided = {field.name: getattr(code, field.name) for field in fields(CodeDefinition)}
    reward, _encounter = decided.pop("reward"), decided.pop("encounter")
    return decided | {
        "tags": list(code.tags),
        "reward_item": reward and reward.item,
        "reward_quantity": reward and reward.quantity,
    }
