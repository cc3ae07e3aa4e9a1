"""Codes created and updated over HTTP."""

from typing import Any

from tests.support.callers import Staff

PUZZLE: dict[str, Any] = {
    "puzzle_type": "decryption",
    "difficulty_level": 3,
    "data": {"cipher": "bcd", "hints": [1, None, {"é": True}]},
    "solution": "open sesame",
    "max_attempts": 5,
}


def create(client: Any, staff: Staff, **fields: Any) -> Any:
    return client.post(staff.codes, json={"scan_type": "item_drop"} | fields, headers=staff.admin.headers)


def update(client: Any, staff: Staff, qr_id: str, **fields: Any) -> Any:
    return client.patch(f"{staff.codes}/{qr_id}", json=fields, headers=staff.admin.headers)
