"""Batches of scans made offline, in PostgreSQL: accept many in one statement, each once."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from shared.errors import NonceReused, PlayerNotFound
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.infra.tracing import tracing
from shared.organizations.api_keys import ApiKey
from shared.scans import accept_metrics
from shared.scans.rules import extract_code, extract_step_mac
from shared.scans.store import NewScan

MAX_SCANS = 100
MAX_AGE = timedelta(days=365_000)
"""PostgreSQL can subtract it from the current time. All younger scans are already too late."""

# In the order of nonces, so that two batches with the same scans never wait for each other. The inserts lock
# their codes FOR KEY SHARE. That is done by id before, as a deletion of many codes locks them.
INSERT_SCANS = """
    WITH locked_codes AS MATERIALIZED (
        SELECT t.code, q.id, q.org_id, q.rotating
        FROM code_texts t JOIN qr_codes q ON q.id = t.qr_code_id
        WHERE t.code = ANY (%(codes)b) AND q.deleted_at IS NULL
          AND (%(org_id)s::uuid IS NULL OR q.org_id = %(org_id)s)
        ORDER BY q.id FOR KEY SHARE OF q
    )
    INSERT INTO player_scans (id, player_id, qr_code_id, org_id, qr_code, latitude, longitude, accuracy, scan_time,
                              client_time, client_sent_at, nonce, request_digest, request_id, device, api_key_id,
                              step_mac, traceparent)
    SELECT s.id, s.player_id, q.id, q.org_id, s.code, s.latitude, s.longitude, s.accuracy, now() - s.age,
           s.client_time, %(sent_at)s, s.nonce, s.request_digest, %(request_id)s, %(device)s, %(api_key_id)s,
           CASE WHEN q.rotating THEN s.step_mac END, %(traceparent)s
    FROM unnest(%(ids)b::uuid[], %(player_ids)b::uuid[], %(codes)b::text[], %(latitudes)b::float8[],
                %(longitudes)b::float8[], %(accuracies)b::float8[], %(ages)b::interval[],
                %(client_times)b::timestamptz[], %(nonces)b::text[], %(request_digests)b::bytea[],
                %(step_macs)b::text[])
         WITH ORDINALITY AS s (id, player_id, code, latitude, longitude, accuracy, age, client_time, nonce,
                               request_digest, step_mac, number)
    LEFT JOIN locked_codes q ON q.code = s.code
    WHERE %(api_key_id)s::uuid IS NULL
       OR EXISTS (SELECT FROM players p WHERE p.id = s.player_id AND p.erased_at IS NULL)
    ORDER BY s.player_id, s.nonce, s.number
    ON CONFLICT (player_id, (coalesce(api_key_id, '00000000-0000-0000-0000-000000000000')), nonce)
        WHERE nonce IS NOT NULL DO NOTHING
"""

AcceptResult = UUID | PlayerNotFound | NonceReused
"""The id of a scan, or why it is refused."""


def age_of(scanned_at: datetime, sent_at: datetime) -> timedelta:
    """Return how long before `sent_at` a scan was made. Both are times of the client's clock, which may be wrong.

    A scan that the client made after it was sent has no age.
    """
    return min(max(sent_at - scanned_at, timedelta()), MAX_AGE)


def accept_all(
    conn: Conn,
    scans: Sequence[NewScan],
    *,
    sent_at: datetime,
    request_id: str | None = None,
    device: str | None = None,
    key: ApiKey | None = None,
    extra_paths: Sequence[str] = (),
) -> list[AcceptResult]:
    """Insert pending scans, which have a nonce and a time. Return one result for each, in order.

    The result is the id of the scan, the id of the earlier scan with this nonce, or the error that refuses it alone.
    `sent_at` is the time of sending by the client's clock. The scan time is the time of receipt minus the age of the
    scan. The other parameters are those of `store.accept`.
    """
    ages = [age_of(scan.scanned_at or sent_at, sent_at) for scan in scans]
    # Ids follow the time of the scans: workers claim them in this order, and judge those of the same time in it.
    by_time = sorted(range(len(scans)), key=lambda number: ages[number], reverse=True)
    ids = dict(zip(by_time, sorted(uuid7() for _ in scans), strict=True))
    inserted = conn.execute(
        INSERT_SCANS,
        {
            "ids": [ids[number] for number in range(len(scans))],
            "player_ids": [scan.player_id for scan in scans],
            "codes": [extract_code(scan.qr_code, extra_paths) for scan in scans],
            "latitudes": [scan.coordinates and scan.coordinates.latitude for scan in scans],
            "longitudes": [scan.coordinates and scan.coordinates.longitude for scan in scans],
            "accuracies": [scan.accuracy_m for scan in scans],
            "ages": ages,
            "client_times": [scan.scanned_at for scan in scans],
            "nonces": [scan.nonce for scan in scans],
            "request_digests": [scan.digest() for scan in scans],
            "step_macs": [extract_step_mac(scan.qr_code, extra_paths) for scan in scans],
            "sent_at": sent_at,
            "request_id": request_id,
            "traceparent": tracing.current_traceparent(),
            "device": device,
            "api_key_id": key and key.id,
            "org_id": key and key.org_id,
        },
    )
    if inserted.rowcount == len(scans):
        results: list[AcceptResult] = [ids[number] for number in range(len(scans))]
    else:
        stored = _find_by_nonce(conn, scans, key)
        results = [_result(scan, stored) for scan in scans]
    ids_returned = sum(isinstance(result, UUID) for result in results)
    accept_metrics.record(inserted.rowcount, ids_returned - inserted.rowcount, by_key=key is not None)
    return results


def _find_by_nonce(
    conn: Conn, scans: Sequence[NewScan], key: ApiKey | None
) -> Mapping[tuple[UUID, str], tuple[UUID, bytes]]:
    """Return id and digest of the stored scans with these nonces, by player and nonce."""
    rows = conn.execute(
        """
        SELECT s.player_id, s.nonce, s.id, s.request_digest
        FROM unnest(%(player_ids)b::uuid[], %(nonces)b::text[]) AS wanted (player_id, nonce)
        JOIN player_scans s ON s.player_id = wanted.player_id AND s.nonce = wanted.nonce
                           AND coalesce(s.api_key_id, '00000000-0000-0000-0000-000000000000')
                               = coalesce(%(api_key_id)s::uuid, '00000000-0000-0000-0000-000000000000')
        """,
        {
            "player_ids": [scan.player_id for scan in scans],
            "nonces": [scan.nonce for scan in scans],
            "api_key_id": key and key.id,
        },
    ).fetchall()
    return {(player_id, nonce): (scan_id, digest) for player_id, nonce, scan_id, digest in rows}


def _result(scan: NewScan, stored: Mapping[tuple[UUID, str], tuple[UUID, bytes]]) -> AcceptResult:
    # No scan was stored under this nonce, and scans are never deleted: the player of an API key does not exist.
    if (found := stored.get((scan.player_id, scan.nonce or ""))) is None:
        return PlayerNotFound()
    scan_id, digest = found
    return scan_id if digest == scan.digest() else NonceReused()
