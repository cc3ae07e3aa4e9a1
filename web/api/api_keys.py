"""API keys of an organization over HTTP: create, list, revoke."""

from datetime import UTC, datetime
from typing import Annotated, Any

from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, Field

from shared.errors import NotFound
from shared.infra import db
from shared.organizations import api_keys
from shared.organizations.api_keys import SCOPES, ApiKeyInfo, NewApiKey, Scope
from web.http.audit_log import record
from web.http.auth import current_player_id, requires_role
from web.http.idempotency import idempotent_secret, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import Body, Id, Name, OrganizationPath, ResponseModel, Timestamp
from web.http.settings import current_settings

api = APIBlueprint(
    "api_keys", __name__, url_prefix="/api/organizations/<org_id>/api-keys", abp_tags=[Tag(name="Organizations")]
)

EXAMPLE_PREFIX = "wm_0d1e2f3a4b5c"


def _reject_duplicates(scopes: list[Scope]) -> list[Scope]:
    if len(set(scopes)) < len(scopes):
        raise ValueError("Name each scope once.")
    return scopes


def _in_future(value: datetime) -> datetime:
    if value <= datetime.now(UTC):
        raise ValueError("Use a time in the future.")
    return value


class KeyPath(OrganizationPath):
    key_id: Id


class KeyBody(Body):
    """The name and the scopes of a key. Without `expires_at` it is valid until it is revoked."""

    name: Name = Field(examples=["Kiosk"])
    scopes: Annotated[
        list[Scope],
        AfterValidator(_reject_duplicates),
        Field(min_length=1, max_length=len(SCOPES), json_schema_extra={"uniqueItems": True}),
    ]
    expires_at: Annotated[Timestamp, AfterValidator(_in_future)] | None = None


class KeyResponse(ResponseModel):
    """An API key without its secret. `prefix` is the start of the key."""

    id: Id
    prefix: str = Field(examples=[EXAMPLE_PREFIX])
    name: str = Field(examples=["Kiosk"])
    scopes: list[Scope]
    created_by: Id | None = Field(description="The player who created the key")
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None = Field(description="Exact to a minute")


class NewKeyResponse(KeyResponse):
    key: str = Field(description="The whole key, which is shown only once", examples=[f"{EXAMPLE_PREFIX}_{'5' * 64}"])


class KeysResponse(ResponseModel):
    items: list[KeyResponse]
    next_cursor: str | None


@api.post("", responses={201: NewKeyResponse, 409: None})
@requires_role("admin")
@idempotent_secret
def create_api_key(path: OrganizationPath, body: KeyBody) -> tuple[dict[str, Any], int]:
    """Create an API key

    Needs the role admin. The key acts for the organization, not for its creator, until it expires or is revoked.
    Only a retry with the same Idempotency-Key returns the key again, for 24 hours. 409 if the organization has as many
    keys as its quota allows.
    """
    new_key = NewApiKey.new()
    with transaction() as conn:
        api_keys.check_quota(conn, path.org_id, current_settings().max_api_keys_per_organization)
        key = api_keys.add(conn, path.org_id, new_key, **dict(body), created_by=current_player_id())
        record(conn, "key.created", org_id=path.org_id, object_id=key.id, new=_audit_fields(key))
    return _to_response(key) | {"key": new_key.text}, 201


@api.get("", responses={200: KeysResponse})
@requires_role("admin")
def list_api_keys(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """List API keys

    Needs the role admin. Newest first, without revoked keys.
    """
    before = decode_id(query.cursor)
    with db.connection() as conn:
        keys = api_keys.list_for_organization(conn, path.org_id, limit=query.limit + 1, before=before)
    page, next_cursor = paginate(keys, query.limit, lambda key: (str(key.id),))
    return {"items": [_to_response(key) for key in page], "next_cursor": next_cursor}


@api.delete("/<key_id>", responses={204: None})
@requires_role("admin")
def revoke_api_key(path: KeyPath) -> tuple[str, int]:
    """Revoke an API key

    Needs the role admin. Every request with the key that arrives after the response is rejected.
    """
    with db.transaction() as conn:
        key = api_keys.revoke(conn, path.org_id, path.key_id)
        if key is None:
            raise NotFound
        record(conn, "key.revoked", org_id=path.org_id, object_id=key.id, old=_audit_fields(key))
    return "", 204


def _audit_fields(key: ApiKeyInfo) -> dict[str, Any]:
    return {"name": key.name, "prefix": key.prefix, "scopes": key.scopes, "expires_at": key.expires_at}


def _to_response(key: ApiKeyInfo) -> dict[str, Any]:
    return KeyResponse.model_validate(key).model_dump(mode="json")
