"""The audit trail over HTTP: written by whoever changes something, read by admins."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import g, request
from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints

from shared.audit import store
from shared.audit.rules import diff
from shared.audit.store import Actor, AuditEntry
from shared.infra import db
from shared.infra.db import Conn
from web.http.auth import current_caller, requires_role
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import Body, Id, ResponseModel, Timestamp

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


class ActorResponse(ResponseModel):
    """Who did it, by the name they have now. An operator acts at the command line, and has no id."""

    kind: Literal["player", "key", "operator"]
    id: Id | None
    name: str | None


class AuditEntryResponse(ResponseModel):
    """A change; `old` and `new` hold the fields that changed. Of secrets it is told only that they did."""

    id: Id
    at: Timestamp
    action: str
    actor: ActorResponse
    address: str | None
    request_id: str | None
    object_id: str | None
    old: dict[str, Any] | None
    new: dict[str, Any] | None


class AuditResponse(ResponseModel):
    items: list[AuditEntryResponse]
    next_cursor: str | None


@api.get("", responses={200: AuditResponse})
@requires_role("admin")
def list_entries(path: AuditPath, query: AuditQuery) -> dict[str, Any]:
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
    page, next_cursor = paginate(found, query.limit, lambda line: (str(line.id),))
    return {"items": [_line(line) for line in page], "next_cursor": next_cursor}


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
    """Add a line to the trail, in the transaction of the change. The actor is the caller, or `player_id` where nobody
    is signed in yet."""
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
    """Add a line that tells the fields that differ, of a `secret` one only that it does; none where nothing does."""
    before, after = diff(old, new, secret)
    if after:
        record(conn, action, org_id=org_id, object_id=object_id, old=before, new=after)


def _actor(player_id: UUID | None) -> Actor:
    if player_id is not None:
        return Actor("player", player_id, request.remote_addr, g.request_id)
    return Actor("key" if current_caller().key else "player", current_caller().id, request.remote_addr, g.request_id)


def _line(found: AuditEntry) -> dict[str, Any]:
    actor = {"kind": found.actor, "id": found.actor_id, "name": found.actor_name}
    return AuditEntryResponse.model_validate(vars(found) | {"actor": actor}).model_dump(mode="json")
