"""Scans in PostgreSQL: accept, find, list."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import class_row, scalar_row

from shared.errors import NonceReused, PlayerNotFound
from shared.infra.db import Conn, exactly_one
from shared.infra.ids import HIGHEST, LOWEST, uuid7
from shared.infra.tracing import tracing
from shared.organizations.api_keys import ApiKey
from shared.scans import accept_metrics
from shared.scans.rules import Coordinates, extract_code, extract_step_mac


@dataclass(frozen=True)
class NewScan:
    """A scan as a client submits it. `qr_code` is the code text or the code URL."""

    player_id: UUID
    qr_code: str
    coordinates: Coordinates | None = None
    accuracy_m: float | None = None
    scanned_at: datetime | None = None
    nonce: str | None = None

    def digest(self) -> bytes:
        """Return a digest that distinguishes a retry from another scan with the same nonce.

        A client may repeat a live scan from its offline queue, with the time that it did not send before.
        """
        content = (self.qr_code, self.coordinates, self.accuracy_m)
        return sha256(repr(content).encode()).digest()


@dataclass(frozen=True)
class StoredScan:
    """A scan and, once it is settled, its verdict. `api_key_id` is its submitter, or None for the player."""

    scan_id: UUID
    player_id: UUID
    qr_code: str
    org_id: UUID | None
    encounter_type: str | None
    status: str
    success: bool | None
    reason: str | None
    outcome: dict[str, Any]
    scan_time: datetime
    received_at: datetime
    settled_at: datetime | None
    api_key_id: UUID | None = None

    @property
    def is_settled(self) -> bool:
        return self.status != "pending"


@dataclass(frozen=True)
class HistoryEntry:
    """A scan in the history of its player, with what it gave. `reward` is also that of a solved puzzle."""

    scan_id: UUID
    qr_code: str
    description: str | None
    scan_time: datetime
    success: bool | None
    status: str
    reason: str | None
    reward: str | None
    quantity: int | None


@dataclass(frozen=True)
class InventoryItem:
    """A player's balance of one item of one issuer: an organization, or None for quests of the installation.

    The logo of a closed organization is not among its public files, so its digest is None.
    """

    item: str
    quantity: int
    org_id: UUID | None
    organization: str | None
    slug: str | None
    logo_digest: str | None
    color_light: str | None
    color_dark: str | None


SELECT_SCAN = """
    SELECT s.id AS scan_id, s.player_id, s.qr_code, q.org_id, q.scan_type AS encounter_type, s.status, s.success,
           s.reason, s.outcome, s.scan_time, s.received_at, s.settled_at, s.api_key_id
    FROM player_scans s LEFT JOIN qr_codes q ON q.id = s.qr_code_id
"""
SELECT_HISTORY = """
    SELECT s.id AS scan_id, s.qr_code, q.description, s.scan_time, s.success, s.status, s.reason,
           CASE WHEN s.success THEN coalesce(
               s.outcome ->> 'reward', CASE WHEN a.solved_at IS NOT NULL THEN a.reward_item END) END AS reward,
           CASE WHEN s.success THEN coalesce(
               (s.outcome -> 'quantity')::integer,
               CASE WHEN a.solved_at IS NOT NULL THEN a.reward_quantity END) END AS quantity
    FROM player_scans s
    LEFT JOIN qr_codes q ON q.id = s.qr_code_id LEFT JOIN encounter_attempts a ON a.scan_id = s.id
    WHERE s.player_id = %(player_id)s AND NOT s.outside_history
      AND (s.scan_time, s.id) < (%(before_time)s, %(before_id)s)
    ORDER BY s.scan_time DESC, s.id DESC
    LIMIT %(limit)s
"""


def accept(
    conn: Conn,
    scan: NewScan,
    *,
    scan_id: UUID | None = None,
    request_id: str | None = None,
    device: str | None = None,
    key: ApiKey | None = None,
    extra_paths: Sequence[str] = (),
) -> UUID:
    """Insert a pending scan and return its id, or the id of the earlier scan with this nonce.

    `extra_paths` are those of `rules.extract_code`.
    The scan time is the client's, but never later than now. For an API key, codes of other organizations are unknown.
    Raises PlayerNotFound if `key` is given and the player does not exist. Raises NonceReused if the scan with this
    nonce has another content.
    """
    row = conn.execute(
        """
        INSERT INTO player_scans (id, player_id, qr_code_id, org_id, qr_code, latitude, longitude, accuracy, scan_time,
                                  client_time, nonce, request_digest, request_id, device, api_key_id, step_mac,
                                  traceparent)
        SELECT %(id)s, %(player_id)s, q.id, q.org_id, %(code)s, %(latitude)s, %(longitude)s, %(accuracy)s,
               least(coalesce(%(scanned_at)s, now()), now()), %(scanned_at)s, %(nonce)s, %(request_digest)s,
               %(request_id)s, %(device)s, %(api_key_id)s, CASE WHEN q.rotating THEN %(step_mac)s END,
               %(traceparent)s
        FROM (SELECT) request
        LEFT JOIN qr_codes q ON q.id = (SELECT qr_code_id FROM code_texts WHERE code = %(code)s)
                                AND q.deleted_at IS NULL AND (%(org_id)s::uuid IS NULL OR q.org_id = %(org_id)s)
        WHERE %(api_key_id)s::uuid IS NULL
           OR EXISTS (SELECT FROM players WHERE id = %(player_id)s AND erased_at IS NULL)
        ON CONFLICT (player_id, (coalesce(api_key_id, '00000000-0000-0000-0000-000000000000')), nonce)
            WHERE nonce IS NOT NULL DO NOTHING
        RETURNING id
        """,
        {
            "id": scan_id or uuid7(),
            "player_id": scan.player_id,
            "code": extract_code(scan.qr_code, extra_paths),
            "latitude": scan.coordinates and scan.coordinates.latitude,
            "longitude": scan.coordinates and scan.coordinates.longitude,
            "accuracy": scan.accuracy_m,
            "scanned_at": scan.scanned_at,
            "nonce": scan.nonce,
            "request_digest": scan.digest() if scan.nonce else None,
            "request_id": request_id,
            "device": device,
            "step_mac": extract_step_mac(scan.qr_code, extra_paths),
            "traceparent": tracing.current_traceparent(),
            "api_key_id": key and key.id,
            "org_id": key and key.org_id,
        },
    ).fetchone()
    if row is None:
        row = conn.execute(
            """
            SELECT id, request_digest FROM player_scans
            WHERE player_id = %(player_id)s AND nonce = %(nonce)s
              AND coalesce(api_key_id, '00000000-0000-0000-0000-000000000000')
                  = coalesce(%(api_key_id)s::uuid, '00000000-0000-0000-0000-000000000000')
            """,
            {"player_id": scan.player_id, "nonce": scan.nonce, "api_key_id": key and key.id},
        ).fetchone()
        # No scan caused a conflict, and scans are never deleted.
        if row is None:
            raise PlayerNotFound
        if row[1] != scan.digest():
            raise NonceReused
        accept_metrics.record(0, 1, by_key=key is not None)
    else:
        accept_metrics.record(1, 0, by_key=key is not None)
    return UUID(str(row[0]))


def find(conn: Conn, scan_id: UUID) -> StoredScan | None:
    """Return a scan, or None if it does not exist."""
    with conn.cursor(row_factory=class_row(StoredScan)) as cursor:
        return cursor.execute(SELECT_SCAN + "WHERE s.id = %(id)s", {"id": scan_id}).fetchone()


def list_history(
    conn: Conn, player_id: UUID, *, limit: int, before: tuple[datetime, UUID] | None = None
) -> list[HistoryEntry]:
    """Return a player's scans, newest first, after the scan with the time and id `before`."""
    before_time, before_id = before or ("infinity", HIGHEST)
    with conn.cursor(row_factory=class_row(HistoryEntry)) as cursor:
        return cursor.execute(
            SELECT_HISTORY,
            {"player_id": player_id, "before_time": before_time, "before_id": before_id, "limit": limit},
        ).fetchall()


def list_inventory(conn: Conn, player_id: UUID) -> list[InventoryItem]:
    """Return a player's items: the sums of the ledger, per issuer and item.

    Items of the installation come first, then those of each organization by its name.
    """
    with conn.cursor(row_factory=class_row(InventoryItem)) as cursor:
        return cursor.execute(
            """
            SELECT balances.item, balances.quantity, balances.org_id, o.name AS organization, o.slug,
                   CASE WHEN coalesce(o.closed_at > now(), true) THEN o.logo_digest END AS logo_digest,
                   o.color_light, o.color_dark
            FROM (
                SELECT org_id, item, sum(quantity) AS quantity FROM inventory_ledger WHERE player_id = %(player_id)s
                GROUP BY org_id, item HAVING sum(quantity) <> 0
            ) balances
            LEFT JOIN organizations o ON o.id = balances.org_id AND o.erased_at IS NULL
            ORDER BY balances.org_id IS NOT NULL, o.name, balances.org_id, balances.item
            """,
            {"player_id": player_id},
        ).fetchall()


class HistoryPosition(NamedTuple):
    """The position of a scan among all scans of its player. Those that the player sees in the history come first."""

    outside_history: bool
    scan_time: datetime
    id: UUID


def erase_player(conn: Conn, player_id: UUID, after: HistoryPosition | None, *, limit: int) -> HistoryPosition | None:
    """Erase the personal data of up to `limit` scans of the player, in the order of HistoryPosition after `after`.

    Return the position of the last one, or None after the end. Player, code, time, kind of device and verdict
    remain: counts are made of them. Locked scans are skipped.
    """
    row = conn.execute(
        """
        WITH page AS MATERIALIZED (
            SELECT outside_history, scan_time, id FROM player_scans
            WHERE player_id = %(player_id)s
              AND (outside_history, scan_time, id) > (%(outside_history)s, %(scan_time)s, %(id)s)
            ORDER BY outside_history, scan_time, id LIMIT %(limit)s
        ), locked_scans AS MATERIALIZED (
            SELECT s.id FROM player_scans s WHERE s.id IN (SELECT id FROM page) AND scan_has_personal_data(s)
            FOR NO KEY UPDATE SKIP LOCKED
        ), erased_scans AS (
            UPDATE player_scans s
            SET latitude = NULL, longitude = NULL, accuracy = NULL, distance_m = NULL, client_time = NULL,
                client_sent_at = NULL, nonce = NULL, request_digest = NULL, request_id = NULL,
                traceparent = NULL, compare_coordinates = NULL, last_error = NULL,
                decision_inputs = (SELECT jsonb_object_agg(rule, '{}'::jsonb)
                                   FROM jsonb_object_keys(s.decision_inputs) AS rule),
                qr_code = CASE WHEN qr_code_id IS NULL AND status <> 'pending' THEN 'erased' ELSE qr_code END
            FROM locked_scans l WHERE s.id = l.id
        )
        SELECT outside_history, scan_time, id FROM page
        ORDER BY outside_history DESC, scan_time DESC, id DESC LIMIT 1
        """,
        {
            "player_id": player_id,
            "outside_history": after.outside_history if after else False,
            "scan_time": after.scan_time if after else "-infinity",
            "id": after.id if after else LOWEST,
            "limit": limit,
        },
    ).fetchone()
    return HistoryPosition(*row) if row else None


def has_personal_data(conn: Conn, player_id: UUID) -> bool:
    """Return whether a scan of the player has personal data, or may get some with its verdict."""
    with conn.cursor(row_factory=scalar_row) as cursor:
        exists: bool = exactly_one(
            cursor.execute(
                """
                SELECT EXISTS (
                    SELECT FROM player_scans s
                    WHERE s.player_id = %(player_id)s AND (s.status = 'pending' OR scan_has_personal_data(s)))
                """,
                {"player_id": player_id},
            )
        )
    return exists


def find_organization_id(conn: Conn, scan_id: UUID) -> UUID | None:
    """Return the organization of a scan's code. None if there is no such scan, code or organization."""
    row = conn.execute(
        "SELECT q.org_id FROM player_scans s JOIN qr_codes q ON q.id = s.qr_code_id WHERE s.id = %(id)s",
        {"id": scan_id},
    ).fetchone()
    return None if row is None else row[0]


def reset_attempts(conn: Conn, scan_id: UUID) -> bool:
    """Make a pending scan as new: without attempts, and without the lease of a worker, which then writes nothing.

    Return False if it has a verdict, or does not exist.
    """
    return (
        conn.execute(
            """
            UPDATE player_scans SET attempts = 0, lease_token = NULL, lease_until = NULL, last_error = NULL
            WHERE id = %(id)s AND status = 'pending'
            """,
            {"id": scan_id},
        ).rowcount
        == 1
    )
