"""The audit log of an organization over HTTP."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints

from shared.audit import store
from shared.audit.store import AuditEntry
from shared.infra.read_replica import reading
from web.http.auth import requires_role
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import Id, OrganizationPath, ResponseModel, Timestamp

api = APIBlueprint(
    "audit", __name__, url_prefix="/api/organizations/<org_id>/audit", abp_tags=[Tag(name="Organizations")]
)


class AuditQuery(PageQuery):
    action: Annotated[str, StringConstraints(max_length=100)] | None = Field(None, examples=["code.changed"])
    actor: Id | None = Field(None, description="Id of a player or an API key")
    object_id: Annotated[str, StringConstraints(max_length=100)] | None = Field(
        None, description="Id of the object that was changed"
    )


class ActorResponse(ResponseModel):
    """The actor, with its current name. An operator acts at the command line and has no id."""

    kind: Literal["player", "key", "operator"]
    id: Id | None
    name: str | None = Field(examples=["ada"])


class AuditEntryResponse(ResponseModel):
    """A change. `old` and `new` hold the fields that changed. The values of secret fields are redacted."""

    id: Id
    at: Timestamp
    action: str = Field(examples=["code.changed"])
    actor: ActorResponse
    address: str | None
    request_id: str | None
    object_id: str | None
    old: dict[str, Any] | None = Field(examples=[{"description": "Under the bridge", "max_scans": None}])
    new: dict[str, Any] | None = Field(examples=[{"description": "On the bridge", "max_scans": 100}])


class AuditResponse(ResponseModel):
    items: list[AuditEntryResponse]
    next_cursor: str | None


@api.get("", responses={200: AuditResponse})
@requires_role("admin")
def list_entries(path: OrganizationPath, query: AuditQuery) -> dict[str, Any]:
    """List audit log entries

    Needs the role admin. Newest first. Filters combine: an entry must match all of them.
    """
    page, next_cursor = list_page(path.org_id, query)
    return {"items": [_to_response(entry) for entry in page], "next_cursor": next_cursor}


def list_page(org_id: UUID, query: AuditQuery) -> tuple[Sequence[AuditEntry], str | None]:
    """Return a page of an organization's log, and the cursor of the next one."""
    before = decode_id(query.cursor)
    entries = reading(
        store.list_for_organization,
        org_id,
        action=query.action,
        actor=query.actor,
        object_id=query.object_id,
        limit=query.limit + 1,
        before=before,
    )
    return paginate(entries, query.limit, lambda entry: (str(entry.id),))


def _to_response(entry: AuditEntry) -> dict[str, Any]:
    actor = {"kind": entry.actor_kind, "id": entry.actor_id, "name": entry.actor_name}
    return AuditEntryResponse.model_validate(vars(entry) | {"actor": actor}).model_dump(mode="json")
