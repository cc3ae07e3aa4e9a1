"""The audit log in PostgreSQL. Entries are added in the transaction of the change, and never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.rows import class_row, scalar_row
from psycopg.types.json import Jsonb

from shared.audit.rules import dumps
from shared.infra.db import Conn
from shared.infra.ids import HIGHEST, uuid7

ActorKind = Literal["player", "key", "operator"]


@dataclass(frozen=True)
class Actor:
    """The actor of a change and its origin: a player, an API key, or an operator at the command line."""

    kind: ActorKind
    id: UUID | None = None
    """Id of the player or the key. None for an operator."""
    address: str | None = None
    request_id: str | None = None


OPERATOR = Actor("operator")


@dataclass(frozen=True)
class AuditEntry:
    """A change, with the actor's current name."""

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
    """Add an entry. The caller's transaction is that of the change."""
    conn.execute(
        """
        INSERT INTO audit_log (id, org_id, actor_kind, player_id, api_key_id, address, request_id, action, object_id,
                               old, new)
        VALUES (%(id)s, %(org_id)s, %(actor_kind)s, %(player_id)s, %(api_key_id)s, %(address)s, %(request_id)s,
                %(action)s, %(object_id)s, %(old)s, %(new)s)
        """,
        {
            "id": uuid7(),
            "org_id": org_id,
            "actor_kind": actor.kind,
            "player_id": actor.id if actor.kind == "player" else None,
            "api_key_id": actor.id if actor.kind == "key" else None,
            "address": actor.address,
            "request_id": actor.request_id,
            "action": action,
            "object_id": None if object_id is None else str(object_id),
            "old": _to_json(old),
            "new": _to_json(new),
        },
    )


def record_outcome(
    conn: Conn, action: str, *, of: str, org_id: UUID, object_id: object, new: dict[str, Any] | None = None
) -> None:
    """Add an entry for the outcome of the action `of` on the same object, with the actor of that action.

    Adds nothing if the log has no such action.
    """
    conn.execute(
        """
        INSERT INTO audit_log (id, org_id, actor_kind, player_id, api_key_id, address, request_id, action, object_id,
                               new)
        SELECT %(id)s, org_id, actor_kind, player_id, api_key_id, address, request_id, %(action)s, object_id, %(new)s
        FROM audit_log WHERE org_id = %(org_id)s AND object_id = %(object_id)s AND action = %(of)s
        ORDER BY id LIMIT 1
        """,
        {
            "id": uuid7(),
            "org_id": org_id,
            "object_id": str(object_id),
            "action": action,
            "of": of,
            "new": _to_json(new),
        },
    )


# `ANY` of one organization keeps it in the order: sorted by the id alone, a plan may walk the primary key through the
# entries of every organization.
SELECT_ENTRIES = """
    SELECT a.id, a.at, a.action, a.actor_kind, coalesce(a.player_id, a.api_key_id) AS actor_id,
           coalesce(p.username, k.name) AS actor_name, a.address, a.request_id, a.object_id, a.old, a.new
    FROM audit_log a LEFT JOIN players p ON p.id = a.player_id LEFT JOIN api_keys k ON k.id = a.api_key_id
    WHERE a.org_id = ANY (ARRAY[%(org_id)s::uuid]) AND a.id < %(before)s
      AND (%(action)s::text IS NULL OR a.action = %(action)s)
      AND (%(actor)s::uuid IS NULL OR coalesce(a.player_id, a.api_key_id) = %(actor)s)
      AND (%(object_id)s::text IS NULL OR a.object_id = %(object_id)s)
    ORDER BY a.org_id DESC, a.id DESC LIMIT %(limit)s
"""


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
    """Return an organization's entries that match all filters, newest first, after the entry `before`."""
    with conn.cursor(row_factory=class_row(AuditEntry)) as cursor:
        # Not prepared, so each execution is planned with its values: the plan uses the index of the filters in use.
        return cursor.execute(
            SELECT_ENTRIES,
            {
                "org_id": org_id,
                "before": before or HIGHEST,
                "action": action,
                "actor": actor,
                "object_id": object_id,
                "limit": limit,
            },
            prepare=False,
        ).fetchall()


def erase_player(conn: Conn, player_id: UUID) -> None:
    """Erase the player's addresses and request ids, and the values of changes to the player's account.

    The entries remain: what changed, by which player id, and when.
    """
    # Locks entries by id: two players who acted on each other can be erased at the same time.
    conn.execute(
        """
        WITH entries AS MATERIALIZED (
            SELECT id, coalesce(player_id = %(player_id)s, false) AS is_by_player,
                   coalesce(object_id = %(player_id)s::text OR (player_id = %(player_id)s AND org_id IS NULL), false)
                       AS is_about_player
            FROM audit_log
            WHERE (player_id = %(player_id)s AND (address IS NOT NULL OR request_id IS NOT NULL))
               OR (player_id = %(player_id)s AND org_id IS NULL AND (old IS NOT NULL OR new IS NOT NULL))
               OR (object_id = %(player_id)s::text AND (old IS NOT NULL OR new IS NOT NULL))
            ORDER BY id FOR NO KEY UPDATE
        )
        UPDATE audit_log a
        SET address = CASE WHEN NOT e.is_by_player THEN a.address END,
            request_id = CASE WHEN NOT e.is_by_player THEN a.request_id END,
            old = CASE WHEN NOT e.is_about_player THEN a.old END,
            new = CASE WHEN NOT e.is_about_player THEN a.new END
        FROM entries e WHERE a.id = e.id
        """,
        {"player_id": player_id},
    )


def _to_json(fields: dict[str, Any] | None) -> Jsonb | None:
    return Jsonb(fields, dumps) if fields else None


def erase_organization(conn: Conn, org_id: UUID, after: UUID, *, limit: int) -> UUID | None:
    """Erase old and new values of up to `limit` entries of the organization with an id above `after`.

    Return the last id, or None after the end. The entries remain: what changed, by which actor, and when.
    """
    with conn.cursor(row_factory=scalar_row) as cursor:
        last: UUID | None = cursor.execute(
            """
            WITH page AS MATERIALIZED (
                SELECT id FROM audit_log WHERE org_id = ANY (ARRAY[%(org_id)s::uuid]) AND id > %(after)s
                ORDER BY org_id, id LIMIT %(limit)s
            ), locked_entries AS MATERIALIZED (
                SELECT a.id FROM audit_log a JOIN page USING (id)
                WHERE a.old IS NOT NULL OR a.new IS NOT NULL ORDER BY a.id FOR NO KEY UPDATE OF a
            ), erased_entries AS (
                UPDATE audit_log a SET old = NULL, new = NULL FROM locked_entries l WHERE a.id = l.id
            )
            SELECT id FROM page ORDER BY id DESC LIMIT 1
            """,
            {"org_id": org_id, "after": after, "limit": limit},
        ).fetchone()
    return last
