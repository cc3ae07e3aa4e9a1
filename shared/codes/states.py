"""The state of a code, in the order in which scans are judged. Pure."""

from datetime import datetime
from typing import Literal

from shared.codes.rules import CodeDefinition

CodeState = Literal["active", "scheduled", "expired", "off", "used_up"]


def state_of(code: CodeDefinition, now: datetime, *, use_count: int = 0) -> CodeState:
    """Return whether scans of the code can succeed now, or why not. `use_count` counts against `max_scans`."""
    if not code.active:
        return "off"
    if code.starts_at is not None and now < code.starts_at:
        return "scheduled"
    if code.expires_at is not None and now >= code.expires_at:
        return "expired"
    if code.max_scans is not None and use_count >= code.max_scans:
        return "used_up"
    return "active"
