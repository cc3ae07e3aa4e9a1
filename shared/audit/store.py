"""The audit trail in PostgreSQL: lines are added, in the transaction of the change they tell of, and never changed."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from shared.audit.rules import dumps
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST, uuid7

ActorKind = Literal["player", "key", "operator"]


@dataclass(frozen=True)
class Actor:
    """Who acts, and from where: a player, an API key, or an operator at a command line."""

    kind: ActorKind
    id: UUID | None = None  # the player's or the key's
    address: str | None = None
    request_id: str | None = None


OPERATOR = Actor("operator")


@dataclass(frozen=True)
class AuditEntry:
    """A change. The actor's name is the one they have now."""

    id: UUID
    at: datetime
    action: str
    actor_kind: ActorKind
    actor_id: UUID | None
    actor_name: str | None
    address: str | None
    request_id: str | None
    object_id: str | None
    old: dict[str, Any] | None
    new: dict[str, Any] | None


def record(
    conn: Conn,
    actor: Actor,
    action: str,
    *,
    org_id: UUID | None,
    object_id: object | None = None,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
) -> None:
    """Add a line; the caller owns the transaction, which is that of the change."""
    conn.execute(
        """
        INSERT INTO audit_log (id, org_id, actor_kind, player_id, api_key_id, address, request_id, action, object_id,
                               old, new)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        """,
        (
            uuid7(),
            org_id,
            actor.kind,
            actor.id if actor.kind == "player" else None,
            actor.id if actor.kind == "key" else None,
            actor.address,
            actor.request_id,
            action,
            None if object_id is None else str(object_id),
            _json(old),
            _json(new),
        ),
    )


def record_outcome(
    conn: Conn, action: str, *, of: str, org_id: UUID, object_id: object, new: dict[str, Any] | None = None
) -> None:
    """Add a line to what the action `of` had begun on the same object, in the name of whoever did that."""
    conn.execute(
        """
        INSERT INTO audit_log (id, org_id, actor_kind, player_id, api_key_id, address, request_id, action, object_id,
                               new)
        SELECT %s, org_id, actor_kind, player_id, api_key_id, address, request_id, %s, object_id, %s
        FROM audit_log WHERE org_id = %s AND object_id = %s AND action = %s
        ORDER BY id LIMIT 1
        """,
        (uuid7(), action, _json(new), org_id, str(object_id), of),
    )


SELECT_ENTRIES = """
    SELECT a.id, a.at, a.action, a.actor_kind, coalesce(a.player_id, a.api_key_id) AS actor_id,
           coalesce(p.username, k.name) AS actor_name, a.address, a.request_id, a.object_id, a.old, a.new
    FROM audit_log a LEFT JOIN players p ON p.id = a.player_id LEFT JOIN api_keys k ON k.id = a.api_key_id
    WHERE a.org_id = %(org)s AND a.id < %(before)s
"""
FILTERS = {
    "action": "AND a.action = %(action)s",
    "actor": "AND coalesce(a.player_id, a.api_key_id) = %(actor)s",
    "object_id": "AND a.object_id = %(object_id)s",
}
"""What may be asked for; each has its index, in the order of the answer."""
NEWEST_FIRST = "ORDER BY a.id DESC LIMIT %(limit)s"


def build_query(names: Collection[str]) -> str:
    """The statement for what is asked for, and nothing else: a plan that is made for every case at once could use no
    index but the organization's."""
    return " ".join(
        [SELECT_ENTRIES, *(condition for name, condition in FILTERS.items() if name in names), NEWEST_FIRST]
    )


def list_for_organization(
    conn: Conn,
    org_id: UUID,
    *,
    action: str | None = None,
    actor: UUID | None = None,
    object_id: str | None = None,
    limit: int,
    before: UUID | None = None,
) -> list[AuditEntry]:
    """An organization's lines, newest first, from past `before` on: those of an action, an actor, an object."""
    given = {"action": action, "actor": actor, "object_id": object_id}
    asked = {name: value for name, value in given.items() if value is not None}
    with conn.cursor(row_factory=class_row(AuditEntry)) as cursor:
        return cursor.execute(
            build_query(asked), {"org": org_id, "before": before or HIGHEST, "limit": limit, **asked}
        ).fetchall()


def _json(fields: dict[str, Any] | None) -> Jsonb | None:
    return Jsonb(fields, dumps) if fields else None
