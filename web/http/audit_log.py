"""Record audit log entries for the current caller."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from flask import g, request

from shared.audit import store
from shared.audit.rules import diff
from shared.audit.store import Actor
from shared.infra.db import Conn
from web.http.auth import current_caller


def record(
    conn: Conn,
    action: str,
    *,
    org_id: UUID | None = None,
    object_id: object | None = None,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    player_id: UUID | None = None,
) -> None:
    """Add an entry, in the transaction of the change.

    The actor is the current caller. A view without a signed-in caller passes the actor as `player_id`.
    """
    store.record(conn, _actor(player_id), action, org_id=org_id, object_id=object_id, old=old, new=new)


def record_change(
    conn: Conn,
    action: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    org_id: UUID | None = None,
    object_id: object | None = None,
    secret: Collection[str] = (),
) -> None:
    """Add an entry with the fields that differ, or none if no field does.

    The values of `secret` fields are redacted: the entry shows only that they changed.
    """
    old_values, new_values = diff(old, new, secret)
    if new_values:
        record(conn, action, org_id=org_id, object_id=object_id, old=old_values, new=new_values)


def _actor(player_id: UUID | None) -> Actor:
    if player_id is not None:
        return Actor("player", player_id, request.remote_addr, g.request_id)
    caller = current_caller()
    return Actor("key" if caller.key else "player", caller.id, request.remote_addr, g.request_id)
