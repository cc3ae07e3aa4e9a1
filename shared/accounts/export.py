"""Export of a player's personal data as one JSON document (docs/decisions/0009).

It is read page by page: memory use is constant, and no connection is held while a client reads.

The distance of a scan from its code and the inputs of its verdict are left out: they would reveal the code's location.
Hashes and digests are left out too, because they say nothing.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from shared.infra import db
from shared.infra.event_loop import yielding
from shared.infra.ids import LOWEST
from shared.infra.timestamps import format_rfc3339

PAGE = 500
"""Rows per statement."""


@dataclass(frozen=True)
class Section:
    """A list in the document, and the statement that returns its next page.

    `first` holds the columns of the key that orders the rows, with values that precede every row.
    """

    name: str
    first: dict[str, Any]
    page: str


ACCOUNT = """
    SELECT p.id, p.username, c.email, p.timezone, p.location_code, c.player_id IS NULL AS guest, p.created_at
    FROM players p LEFT JOIN credentials c ON c.player_id = p.id WHERE p.id = %(player)s
"""
SECTIONS = (
    Section(
        "sessions",
        {"id": LOWEST},
        """
        SELECT id, device, created_at, last_used_at, expires_at, revoked_at, revoked_reason FROM sessions
        WHERE player_id = %(player)s AND id > %(id)s ORDER BY id LIMIT %(limit)s
        """,
    ),
    Section(
        "external_identities",
        {"issuer": "", "subject": ""},
        """
        SELECT issuer, subject, created_at FROM external_identities
        WHERE player_id = %(player)s AND (issuer, subject) > (%(issuer)s, %(subject)s)
        ORDER BY issuer, subject LIMIT %(limit)s
        """,
    ),
    Section(
        "organizations",
        {"org_id": LOWEST},
        """
        SELECT m.org_id, o.name, o.slug, m.role, m.created_at FROM memberships m JOIN organizations o ON o.id = m.org_id
        WHERE m.player_id = %(player)s AND m.org_id > %(org_id)s ORDER BY m.org_id LIMIT %(limit)s
        """,
    ),
    Section(
        "invitations_received",
        {"id": LOWEST},
        """
        SELECT i.id, i.org_id, o.name, i.role, i.uses_left > 0 AND i.expires_at > now() AS open, i.created_at,
               i.expires_at
        FROM invitations i JOIN organizations o ON o.id = i.org_id
        WHERE i.player_id = %(player)s AND i.id > %(id)s ORDER BY i.id LIMIT %(limit)s
        """,
    ),
    Section(
        "invitations_created",
        {"id": LOWEST},
        """
        SELECT id, org_id, role, uses, uses_left, created_at, expires_at FROM invitations
        WHERE created_by = %(player)s AND id > %(id)s ORDER BY id LIMIT %(limit)s
        """,
    ),
    Section(
        "scans",
        {"scan_time": "-infinity", "scan_id": LOWEST},
        """
        SELECT s.id AS scan_id, s.qr_code, s.qr_code_id AS qr_id, s.scan_time, s.client_time, s.client_sent_at,
               s.received_at, s.latitude, s.longitude, s.accuracy, s.position_cleared_at, s.device, s.nonce,
               s.request_id, s.traceparent, s.status, s.reason,
               CASE WHEN s.status = 'success' THEN s.outcome ELSE '{}' END AS outcome, s.settled_at, s.reviewed_at,
               a.wrong_answers AS puzzle_wrong_answers, a.closes_at AS puzzle_closes_at, a.solved_at AS puzzle_solved_at
        FROM player_scans s LEFT JOIN encounter_attempts a ON a.scan_id = s.id
        WHERE s.player_id = %(player)s AND (s.scan_time, s.id) > (%(scan_time)s, %(scan_id)s)
        ORDER BY s.scan_time, s.id LIMIT %(limit)s
        """,
    ),
    Section(
        "inventory",
        {"id": LOWEST},
        """
        SELECT l.id, l.org_id, o.name AS organization, l.item, l.quantity, l.shortfall, l.source, l.source_id, l.at
        FROM inventory_ledger l LEFT JOIN organizations o ON o.id = l.org_id AND o.erased_at IS NULL
        WHERE l.player_id = %(player)s AND l.id > %(id)s ORDER BY l.id LIMIT %(limit)s
        """,
    ),
    Section(
        "redemptions",
        {"id": LOWEST},
        """
        SELECT r.id, r.org_id, o.name AS organization, r.item, r.quantity, r.at, r.undone_at
        FROM redemptions r LEFT JOIN organizations o ON o.id = r.org_id AND o.erased_at IS NULL
        WHERE r.player_id = %(player)s AND r.id > %(id)s ORDER BY r.id LIMIT %(limit)s
        """,
    ),
    Section(
        "redemptions_confirmed",
        {"id": LOWEST},
        """
        SELECT id, org_id, item, quantity, at, undone_at FROM redemptions
        WHERE confirmed_by = %(player)s AND id > %(id)s ORDER BY id LIMIT %(limit)s
        """,
    ),
    Section(
        "quests",
        {"quest": ""},
        """
        SELECT quest, version, progress, completions, claims, steps, last_step_at, last_action_at, last_zone
        FROM quest_states
        WHERE player_id = %(player)s AND quest > %(quest)s ORDER BY quest LIMIT %(limit)s
        """,
    ),
    Section(
        "quest_events",
        {"id": LOWEST},
        """
        SELECT id, quest, version, type, data, scan_id, at FROM quest_events
        WHERE player_id = %(player)s AND id > %(id)s ORDER BY id LIMIT %(limit)s
        """,
    ),
    Section(
        "generated_codes",
        {"id": LOWEST},
        """
        SELECT id, data, format, size, error_correction, created_at, expires_at, status FROM generated_codes
        WHERE created_by = %(player)s AND id > %(id)s ORDER BY id LIMIT %(limit)s
        """,
    ),
    Section(
        "renders",
        {"id": LOWEST},
        """
        SELECT id, org_id, output, format, size, error_correction, total, status, created_at, finished_at
        FROM render_jobs WHERE requested_by = %(player)s AND id > %(id)s ORDER BY id LIMIT %(limit)s
        """,
    ),
    Section(
        "api_keys",
        {"id": LOWEST},
        """
        SELECT id, org_id, name, prefix, scopes, created_at, expires_at, revoked_at FROM api_keys
        WHERE created_by = %(player)s AND id > %(id)s ORDER BY id LIMIT %(limit)s
        """,
    ),
    Section(
        "changes_made",
        {"id": LOWEST},
        """
        SELECT id, at, org_id, action, object_id, address, request_id,
               CASE WHEN org_id IS NULL THEN old END AS old, CASE WHEN org_id IS NULL THEN new END AS new
        FROM audit_log WHERE player_id = %(player)s AND id > %(id)s ORDER BY id LIMIT %(limit)s
        """,
    ),
    Section(
        "changes_by_others",
        {"id": LOWEST},
        """
        SELECT id, at, org_id, action, old, new FROM audit_log
        WHERE object_id = %(player)s::text AND player_id IS DISTINCT FROM %(player)s AND id > %(id)s
        ORDER BY id LIMIT %(limit)s
        """,
    ),
    Section(
        "events",
        {"position": 0},
        """
        SELECT position, type, org_id, data, at FROM events
        WHERE player_id = %(player)s AND position > %(position)s ORDER BY position LIMIT %(limit)s
        """,
    ),
    Section(
        "idempotency_keys",
        {"key": ""},
        """
        SELECT key, response_status AS status, created_at FROM idempotency_keys
        WHERE caller_id = %(player)s AND key > %(key)s ORDER BY key LIMIT %(limit)s
        """,
    ),
)


def document(player_id: UUID, now: datetime) -> Iterator[str]:
    """Yield the document in parts."""
    with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        account = cursor.execute(ACCOUNT, {"player": player_id}).fetchone()
    yield f'{{"exported_at": {_dumps(now)}, "account": {_dumps(account)}'
    for section in SECTIONS:
        yield f',\n"{section.name}": ['
        separator = "\n"
        for rows in _pages(section, player_id):
            yield separator + ",\n".join(map(_dumps, yielding(rows)))
            separator = ",\n"
        yield "]"
    yield "}\n"


def _pages(section: Section, player_id: UUID) -> Iterator[list[dict[str, Any]]]:
    key, n = section.first, PAGE
    while n == PAGE:
        with db.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(section.page, {"player": player_id, "limit": PAGE, **key}).fetchall()
        n = len(rows)
        if rows:
            key = {name: rows[-1][name] for name in section.first}
            yield rows


def _dumps(value: object) -> str:
    return json.dumps(value, default=_format)


def _format(value: object) -> str:
    if isinstance(value, datetime):
        return format_rfc3339(value)
    if isinstance(value, date | UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON format")
