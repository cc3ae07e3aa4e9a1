"""Scans in PostgreSQL, as their players and their staff see them: accepted, looked up, listed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from shared.errors import NonceReused, PlayerNotFound
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST, uuid7
from shared.organizations.api_keys import ApiKey
from shared.scans.rules import Coordinates, extract_code


@dataclass(frozen=True)
class NewScan:
    """What a client hands in. `qr_code` is the code or the URL that was printed."""

    player_id: UUID
    qr_code: str
    coordinates: Coordinates | None = None
    accuracy_m: float | None = None
    scanned_at: datetime | None = None
    nonce: str | None = None

    def digest(self) -> bytes:
        """Tells a retry from another scan under the same nonce."""
        told = (self.qr_code, self.coordinates, self.accuracy_m, self.scanned_at and self.scanned_at.timestamp())
        return sha256(repr(told).encode()).digest()


@dataclass(frozen=True)
class StoredScan:
    """A scan's request and, once it is settled, its verdict."""

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
    api_key_id: UUID | None = None  # of the key that handed it in

    @property
    def is_settled(self) -> bool:
        return self.status != "pending"


SCAN = """
    SELECT s.id AS scan_id, s.player_id, s.qr_code, q.org_id, q.scan_type AS encounter_type, s.status, s.success,
           s.reason, s.outcome, s.scan_time, s.received_at, s.settled_at, s.api_key_id
    FROM player_scans s LEFT JOIN qr_codes q ON q.id = s.qr_code_id
"""
HISTORY = (
    SCAN
    + """
    WHERE s.player_id = %s AND (s.scan_time, s.id) < (%s, %s)
    ORDER BY s.scan_time DESC, s.id DESC
    LIMIT %s
"""
)


def accept(
    conn: Conn,
    scan: NewScan,
    *,
    scan_id: UUID | None = None,
    request_id: str | None = None,
    device: str | None = None,
    key: ApiKey | None = None,
) -> UUID:
    """Insert a pending scan, in one statement, and return its id; the first one's when the nonce was used before.

    A client clock that runs ahead is not believed: nothing happened later than it was received. A key scans codes of
    its own organization; others are as unknown to it as those that are not there. Raises NoSuchPlayer, and NonceReused
    where the nonce belongs to a scan with another body, or to one that the key did not hand in.
    """
    row = conn.execute(
        """
        INSERT INTO player_scans (id, player_id, qr_code_id, qr_code, latitude, longitude, accuracy, scan_time,
                                  client_time, nonce, request_digest, request_id, device, api_key_id)
        SELECT %(id)s, %(player)s,
               (SELECT id FROM qr_codes WHERE code = %(code)s AND deleted_at IS NULL
                                          AND (%(org)s::uuid IS NULL OR org_id = %(org)s)), %(code)s,
               %(latitude)s, %(longitude)s, %(accuracy)s, least(coalesce(%(scanned_at)s, now()), now()),
               %(scanned_at)s, %(nonce)s, %(digest)s, %(request_id)s, %(device)s, %(key)s
        WHERE %(key)s::uuid IS NULL OR EXISTS (SELECT FROM players WHERE id = %(player)s AND erased_at IS NULL)
        ON CONFLICT (player_id, nonce) WHERE nonce IS NOT NULL DO NOTHING
        RETURNING id
        """,
        {
            "id": scan_id or uuid7(),
            "player": scan.player_id,
            "code": extract_code(scan.qr_code),
            "latitude": scan.coordinates and scan.coordinates.latitude,
            "longitude": scan.coordinates and scan.coordinates.longitude,
            "accuracy": scan.accuracy_m,
            "scanned_at": scan.scanned_at,
            "nonce": scan.nonce,
            "digest": scan.digest() if scan.nonce else None,
            "request_id": request_id,
            "device": device,
            "key": key and key.id,
            "org": key and key.org_id,
        },
    ).fetchone()
    if row is None:
        row = conn.execute(
            "SELECT id, request_digest, api_key_id FROM player_scans WHERE player_id = %s AND nonce = %s",
            (scan.player_id, scan.nonce),
        ).fetchone()
        if row is None:  # scans are never deleted
            raise PlayerNotFound
        if row[1] != scan.digest() or (key is not None and row[2] != key.id):
            raise NonceReused
    return UUID(str(row[0]))


def find(conn: Conn, scan_id: UUID) -> StoredScan | None:
    """One scan, with the organization of its code."""
    with conn.cursor(row_factory=class_row(StoredScan)) as cursor:
        return cursor.execute(SCAN + "WHERE s.id = %s", (scan_id,)).fetchone()


def find_many(conn: Conn, scan_ids: Sequence[UUID]) -> list[StoredScan]:
    """Those of these scans that there are."""
    with conn.cursor(row_factory=class_row(StoredScan)) as cursor:
        return cursor.execute(SCAN + "WHERE s.id = ANY(%b)", (scan_ids,)).fetchall()


def list_history(
    conn: Conn, player_id: UUID, *, limit: int, before: tuple[datetime, UUID] | None = None
) -> list[StoredScan]:
    """A player's scans, newest first, from past `before` on: one range of an index, however many there are."""
    with conn.cursor(row_factory=class_row(StoredScan)) as cursor:
        place = before or ("infinity", HIGHEST)
        return cursor.execute(HISTORY, (player_id, *place, limit)).fetchall()


def list_inventory(conn: Conn, player_id: UUID) -> list[tuple[str, int]]:
    """What a player holds: the sums of the ledger, by item."""
    rows = conn.execute(
        """
        SELECT item, sum(quantity) FROM inventory_ledger WHERE player_id = %s
        GROUP BY item HAVING sum(quantity) <> 0 ORDER BY item
        """,
        (player_id,),
    ).fetchall()
    return [(item, int(quantity)) for item, quantity in rows]
