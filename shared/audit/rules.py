"""What an audit line tells of a change. Pure."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from shared.infra.timestamps import format_rfc3339

MAX_VALUE_CHARACTERS = 4_000
"""Characters of a value's JSON; what is longer is told by its size and digest."""
REDACTED = "[secret]"
"""What stands where a secret was or is."""

Values = dict[str, Any]


def diff(old: Mapping[str, Any], new: Mapping[str, Any], secret: Collection[str] = ()) -> tuple[Values, Values]:
    """Of two states of a thing, old and new of the fields that changed. Of a secret one only that it did."""
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    before, after = ({name: state.get(name) for name in changed} for state in (old, new))
    return redact(before, secret), redact(after, secret)


def redact(fields: Mapping[str, Any], secret: Collection[str] = ()) -> Values:
    """A thing's fields as a line tells them."""
    return {name: _told(value, is_secret=name in secret) for name, value in fields.items()}


def _told(value: Any, *, is_secret: bool) -> Any:
    if is_secret:
        return None if value is None else REDACTED
    text = dumps(value)
    if len(text) <= MAX_VALUE_CHARACTERS:
        return value
    return {"bytes": len(text.encode()), "sha256": sha256(text.encode()).hexdigest()}


def dumps(value: Any) -> str:
    """As JSON, with times and ids as the contract writes them."""
    return json.dumps(value, default=lambda found: format_rfc3339(found) if isinstance(found, datetime) else str(found))
