"""The audit trail over HTTP: written by whoever changes something, read by admins."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import g, request
from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints

from shared.audit import store
from shared.audit.rules import difference
from shared.audit.store import Actor, Line
from shared.infra import db
from shared.infra.db import Conn
from web.http.auth import caller, requires_role
from web.http.pagination import PageQuery, cut, decode_id
from web.http.schemas import Answer, Body, Id, Time

api = APIBlueprint(
    "audit", __name__, url_prefix="/api/organizations/<org_id>/audit", abp_tags=[Tag(name="Organizations")]
)


class AuditPath(Body):
    org_id: Id


class AuditQuery(PageQuery):
    action: Annotated[str, StringConstraints(max_length=100)] | None = Field(None, examples=["code.changed"])
    actor: Id | None = Field(None, description="The id of a player or an API key")
    object_id: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        None, description="The id of what was changed"
    )


class ActorAnswer(Answer):
    """Who did it, by the name they have now. An operator acts at the command line, and has no id."""

    kind: Literal["player", "key", "operator"]
    id: Id | None
    name: str | None


class LineAnswer(Answer):
    """A change; `old` and `new` hold the fields that changed. Of secrets it is told only that they did."""

    id: Id
    at: Time
    action: str
    actor: ActorAnswer
    address: str | None
    request_id: str | None
    object_id: str | None
    old: dict[str, Any] | None
    new: dict[str, Any] | None


class AuditAnswer(Answer):
    items: list[LineAnswer]
    next_cursor: str | None


@api.get("", responses={200: AuditAnswer})
@requires_role("admin")
def list_lines(path: AuditPath, query: AuditQuery) -> dict[str, Any]:
    """Who changed what of the organization, from where; newest first. What is asked for must all hold."""
    before = decode_id(query.cursor)
    with db.connection() as conn:
        found = store.of_organization(
            conn,
            path.org_id,
            action=query.action,
            actor=query.actor,
            object_id=query.object_id,
            limit=query.limit + 1,
            before=before,
        )
    page, next_cursor = cut(found, query.limit, lambda line: (str(line.id),))
    return {"items": [_line(line) for line in page], "next_cursor": next_cursor}


def audit(
    conn: Conn,
    action: str,
    *,
    org_id: UUID | None = None,
    object_id: object | None = None,
    old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None,
    player_id: UUID | None = None,
) -> None:
    """Add a line to the trail, in the transaction of the change. The actor is the caller, or `player_id` where nobody
    is signed in yet."""
    store.record(conn, _actor(player_id), action, org_id=org_id, object_id=object_id, old=old, new=new)


def audit_change(
    conn: Conn,
    action: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    org_id: UUID | None = None,
    object_id: object | None = None,
    secret: Collection[str] = (),
) -> None:
    """Add a line that tells the fields that differ, of a `secret` one only that it does; none where nothing does."""
    before, after = difference(old, new, secret)
    if after:
        audit(conn, action, org_id=org_id, object_id=object_id, old=before, new=after)


def _actor(player_id: UUID | None) -> Actor:
    if player_id is not None:
        return Actor("player", player_id, request.remote_addr, g.request_id)
    return Actor("key" if caller().key else "player", caller().id, request.remote_addr, g.request_id)


def _line(found: Line) -> dict[str, Any]:
    actor = {"kind": found.actor, "id": found.actor_id, "name": found.actor_name}
    return LineAnswer.model_validate(vars(found) | {"actor": actor}).model_dump(mode="json")
