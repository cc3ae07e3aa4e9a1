"""The values of a change that an audit log entry stores. Pure."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

from shared.infra.timestamps import format_rfc3339

MAX_VALUE_CHARACTERS = 4_000
"""Characters of a value's JSON. A longer value is stored as its size and digest."""
REDACTED = "[secret]"
"""The entry's value for a secret."""

Values = dict[str, Any]


def diff(old: Mapping[str, Any], new: Mapping[str, Any], secret: Collection[str] = ()) -> tuple[Values, Values]:
    """Return the old and the new values of the fields that differ. Values of `secret` fields are redacted."""
    changed = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    old_values, new_values = ({name: state.get(name) for name in changed} for state in (old, new))
    return redact(old_values, secret), redact(new_values, secret)


def redact(fields: Mapping[str, Any], secret: Collection[str] = ()) -> Values:
    """Return the fields as an entry stores them: without secrets, and without long values."""
    return {name: _to_stored(value, is_secret=name in secret) for name, value in fields.items()}


def _to_stored(value: Any, *, is_secret: bool) -> Any:
    if is_secret:
        return None if value is None else REDACTED
    text = dumps(value)
    if len(text) <= MAX_VALUE_CHARACTERS:
        return value
    return {"bytes": len(text.encode()), "sha256": sha256(text.encode()).hexdigest()}


def dumps(value: Any) -> str:
    """Return the value as JSON, with times and ids in the wire format."""
    return json.dumps(value, default=_format)


def _format(value: object) -> str:
    return format_rfc3339(value) if isinstance(value, datetime) else str(value)
