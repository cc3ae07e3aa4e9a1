"""Many codes at once: those that a filter matches, or those with these ids. Counted, locked, changed."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from shared.codes import store
from shared.codes.filters import CodeFilter
from shared.codes.store import StoredCode
from shared.errors import NotFound, SelectionChanged
from shared.infra.db import Conn, exactly_one
from shared.infra.timestamps import format_rfc3339

MAX_SELECTED = 10_000
"""Codes that one request changes."""
PAGE_SIZE = 200
"""Codes that are in memory at once, with their puzzles."""


def count(conn: Conn, org_id: UUID, conditions: CodeFilter) -> int:
    """Return how many codes match, at most MAX_SELECTED + 1."""
    params = conditions.parameters(org_id) | {"limit": MAX_SELECTED + 1}
    (matched,) = exactly_one(
        conn.execute(
            """
            SELECT count(*) FROM (
                SELECT FROM matching_codes(%(org_id)s, %(pattern)s, %(tag)s, %(scan_type)s, %(active)s)
                LIMIT %(limit)s
            ) matching
            """,
            params,
            prepare=False,
        )
    )
    return int(matched)


def lock_ids(conn: Conn, org_id: UUID, qr_ids: Iterable[UUID], *, expected: int | None) -> list[UUID]:
    """Lock these codes of the organization and return their ids in order.

    Raise NotFound if the organization lacks one of them, and SelectionChanged if there are not `expected`.
    """
    wanted = sorted(set(qr_ids))
    store.lock(conn, org_id, *wanted)
    found = conn.execute(
        "SELECT id FROM qr_codes WHERE org_id = %(org_id)s AND id = ANY (%(qr_ids)s) AND deleted_at IS NULL",
        {"org_id": org_id, "qr_ids": wanted},
    )
    if found.rowcount != len(wanted):
        raise NotFound
    if expected not in (None, len(wanted)):
        raise SelectionChanged(f"{len(wanted):,}", expected)
    return wanted


def lock_matching(conn: Conn, org_id: UUID, conditions: CodeFilter, *, expected: int) -> list[UUID]:
    """Lock the codes that match and return their ids in order. Raise SelectionChanged if there are not `expected`."""
    matching = _matching_ids(conn, org_id, conditions)
    if len(matching) == expected:
        store.lock(conn, org_id, *matching)
        # A statement of its own: it must see what other transactions committed before the locks were granted.
        if (matching_now := _matching_ids(conn, org_id, conditions)) == matching:
            return matching
        matching = matching_now
    raise SelectionChanged(f"{len(matching):,}" if len(matching) <= MAX_SELECTED else "more than 10,000", expected)


def _matching_ids(conn: Conn, org_id: UUID, conditions: CodeFilter) -> list[UUID]:
    params = conditions.parameters(org_id) | {"limit": MAX_SELECTED + 1}
    rows = conn.execute(
        """
        SELECT id FROM matching_codes(%(org_id)s, %(pattern)s, %(tag)s, %(scan_type)s, %(active)s)
        ORDER BY org_id, id LIMIT %(limit)s
        """,
        params,
        prepare=False,
    )
    return [row[0] for row in rows]


def read(conn: Conn, org_id: UUID, qr_ids: Sequence[UUID]) -> Iterator[StoredCode]:
    """Yield these codes in the order of their ids."""
    for start in range(0, len(qr_ids), PAGE_SIZE):
        yield from store.list_by_ids(conn, org_id, qr_ids[start : start + PAGE_SIZE])


def save(conn: Conn, changed: Iterable[StoredCode]) -> int:
    """Update `active`, `expires_at` and `tags` of locked codes. Return how many there were."""
    return conn.execute(
        """
        UPDATE qr_codes q SET active = c.active, expires_at = c.expires_at, tags = c.tags, updated_at = now()
        FROM jsonb_to_recordset(%(changed)s) c (id uuid, active boolean, expires_at timestamptz, tags text[])
        WHERE q.id = c.id
        """,
        {"changed": json.dumps([_columns(code) for code in changed], default=format_rfc3339)},
    ).rowcount


def _columns(code: StoredCode) -> dict[str, Any]:
    return {"id": str(code.id), "active": code.active, "expires_at": code.expires_at, "tags": code.tags}
