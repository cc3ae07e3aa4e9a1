"""API keys of an organization over HTTP: made, listed, revoked."""

from datetime import UTC, datetime
from typing import Annotated, Any

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import AfterValidator, Field

from shared.errors import NotFound
from shared.infra import db
from shared.organizations import api_keys
from shared.organizations.api_keys import SCOPES, ApiKeyInfo, NewApiKey, Scope
from shared.settings import settings
from web.http.audit_log import record
from web.http.auth import current_caller, current_player_id, requires_role
from web.http.idempotency import documents_idempotency_key, run_once, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.responses import json_response
from web.http.schemas import Body, Id, Name, OrganizationPath, ResponseModel, Timestamp

api = APIBlueprint(
    "api_keys", __name__, url_prefix="/api/organizations/<org_id>/api-keys", abp_tags=[Tag(name="Organizations")]
)


def _reject_duplicates(scopes: list[Scope]) -> list[Scope]:
    if len(set(scopes)) < len(scopes):
        raise ValueError("must name each scope once")
    return scopes


def _in_future(value: datetime) -> datetime:
    if value <= datetime.now(UTC):
        raise ValueError("must be a time that is still to come")
    return value


class KeyPath(OrganizationPath):
    key_id: Id


class KeyBody(Body):
    """What the key is called, and what it may; without expires_at it is good until it is revoked."""

    name: Name
    scopes: Annotated[
        list[Scope],
        AfterValidator(_reject_duplicates),
        Field(min_length=1, max_length=len(SCOPES), json_schema_extra={"uniqueItems": True}),
    ]
    expires_at: Annotated[Timestamp, AfterValidator(_in_future)] | None = None


class KeyResponse(ResponseModel):
    """An API key; `prefix` is how it begins."""

    id: Id
    prefix: str
    name: str
    scopes: list[Scope]
    created_by: Id | None = Field(description="The player who made it")
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None = Field(description="To a minute")


class NewKeyResponse(KeyResponse):
    key: str = Field(description="The key itself, told this once")


class KeysResponse(ResponseModel):
    items: list[KeyResponse]
    next_cursor: str | None


@api.post("", responses={201: NewKeyResponse})
@requires_role("admin")
@documents_idempotency_key
def create_api_key(path: OrganizationPath, body: KeyBody) -> Response:
    """Make an API key. It acts for the organization, not for whoever made it, until it expires or is revoked."""

    def add() -> tuple[dict[str, Any], int]:
        minted = NewApiKey.new()
        with transaction() as conn:
            made = api_keys.add(conn, path.org_id, minted, **dict(body), created_by=current_player_id())
            told = _key(made)
            record(conn, "key.created", org_id=path.org_id, object_id=made.id, new=_audit_fields(made))
        return told | {
            "key": api_keys.mask_secret(minted.secret, made.id, _server_secret()).hex()
        }, 201  # as it may be stored

    told = run_once(current_caller().id, add).get_json()
    sealed, key_id = bytes.fromhex(told["key"]), KeyResponse.model_validate(told).id
    minted = NewApiKey(told["prefix"], api_keys.mask_secret(sealed, key_id, _server_secret()))
    return json_response(told | {"key": minted.text}, 201)


@api.get("", responses={200: KeysResponse})
@requires_role("admin")
def list_api_keys(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """The organization's keys but those that were revoked, newest first."""
    before = decode_id(query.cursor)
    with db.connection() as conn:
        found = api_keys.of_organization(conn, path.org_id, limit=query.limit + 1, before=before)
    page, next_cursor = paginate(found, query.limit, lambda key: (str(key.id),))
    return {"items": [_key(key) for key in page], "next_cursor": next_cursor}


@api.delete("/<key_id>", responses={204: None})
@requires_role("admin")
def revoke_api_key(path: KeyPath) -> tuple[str, int]:
    """Revoke a key: from the answer on it is not good."""
    with db.transaction() as conn:
        revoked = api_keys.revoke(conn, path.org_id, path.key_id)
        if revoked is None:
            raise NotFound
        record(conn, "key.revoked", org_id=path.org_id, object_id=revoked.id, old=_audit_fields(revoked))
    return "", 204


def _server_secret() -> str:
    return settings().jwt_secret.get_secret_value()


def _audit_fields(key: ApiKeyInfo) -> dict[str, Any]:
    return {"name": key.name, "prefix": key.prefix, "scopes": key.scopes, "expires_at": key.expires_at}


def _key(found: ApiKeyInfo) -> dict[str, Any]:
    return KeyResponse.model_validate(found).model_dump(mode="json")
