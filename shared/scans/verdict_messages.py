"""The pub/sub message with which a worker passes verdicts to the web processes in which clients wait for them."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.scans.rules import CodeRules, Scan, Verdict
from shared.scans.store import StoredScan

MAX_LINE_BYTES = 4_096
"""A longer verdict, as of a large puzzle, is read from PostgreSQL: Redis disconnects subscribers 32 MB behind."""


def encode(
    settled: Sequence[Scan], verdicts: Mapping[UUID, Verdict], codes: Mapping[UUID, CodeRules], settled_at: datetime
) -> bytes:
    """Return the settled scans as lines of `id json`, so that a web process parses those of its own clients only.

    A line beyond MAX_LINE_BYTES has only the id.
    """
    return b"\n".join(
        _to_line(scan, verdicts[scan.id], codes.get(scan.qr_code_id) if scan.qr_code_id else None, settled_at)
        for scan in settled
    )


def encode_ids(settled: Iterable[Scan]) -> bytes:
    """Return the settled scans as lines with their ids only."""
    return b"\n".join(scan.id.hex.encode() for scan in settled)


def _to_line(scan: Scan, verdict: Verdict, code: CodeRules | None, settled_at: datetime) -> bytes:
    fields = {
        "player_id": scan.player_id.hex,
        "qr_code": scan.qr_code,
        "org_id": code and code.org_id.hex,
        "encounter_type": code and code.scan_type,
        "status": verdict.status,
        "reason": verdict.reason,
        "outcome": verdict.outcome,
        "scan_time": scan.scan_time.isoformat(),
        "received_at": scan.received_at.isoformat(),
        "settled_at": settled_at.isoformat(),
        "api_key_id": scan.api_key_id and scan.api_key_id.hex,
    }
    line = f"{scan.id.hex} {json.dumps(fields)}".encode()
    return line if len(line) <= MAX_LINE_BYTES else scan.id.hex.encode()


def decode(payload: bytes, is_awaited: Callable[[UUID], bool]) -> Iterator[tuple[UUID, StoredScan | None]]:
    """Yield the ids for which `is_awaited` is true, with the settled scan, or None if the message has only the id.

    Raises ValueError if the message is malformed.
    """
    for line in payload.split(b"\n"):
        scan_id = UUID(line[:32].decode())
        if is_awaited(scan_id):
            yield scan_id, _to_stored_scan(scan_id, json.loads(line[33:])) if line[32:] else None


def _to_stored_scan(scan_id: UUID, fields: dict[str, Any]) -> StoredScan:
    return StoredScan(
        scan_id=scan_id,
        player_id=UUID(fields["player_id"]),
        qr_code=fields["qr_code"],
        org_id=_uuid_or_none(fields["org_id"]),
        encounter_type=fields["encounter_type"],
        status=fields["status"],
        success={"success": True, "failure": False}.get(fields["status"]),
        reason=fields["reason"],
        outcome=fields["outcome"],
        scan_time=datetime.fromisoformat(fields["scan_time"]),
        received_at=datetime.fromisoformat(fields["received_at"]),
        settled_at=datetime.fromisoformat(fields["settled_at"]),
        api_key_id=_uuid_or_none(fields["api_key_id"]),
    )


def _uuid_or_none(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)
