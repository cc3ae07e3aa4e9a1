"""An organization's codes over HTTP: made, listed, changed, removed."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints
from werkzeug.routing import BaseConverter

from shared.analytics import cache_versions as statistics
from shared.audit.rules import redact
from shared.codes import rules, store
from shared.codes.rules import CodeDefinition, ScanType
from shared.codes.schemas import CodeBody, CodeFields, CodeText, to_definition_fields
from shared.codes.store import CodeFilter, StoredCode
from shared.encounters.rules import PuzzleType
from shared.errors import CodeTaken, FieldError, Invalid, NotFound
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations.rules import includes_role
from web.http.audit_log import record, record_change
from web.http.auth import current_role, requires_role
from web.http.idempotency import idempotent, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import CodePath, Id, OrganizationPath, PatchBody, QueryBool, ResponseModel, Timestamp

api = APIBlueprint(
    "codes", __name__, url_prefix="/api/organizations/<org_id>/qr-codes", abp_tags=[Tag(name="QR codes")]
)

SECRET_FIELDS = {"solution"}


class CodeIdConverter(BaseConverter):
    """A code's id in a path, or what is given for one; but not the names that stand in its place."""

    regex = r"(?!(?:bulk|import|export)\Z)[^/]+"


class CodePatchBody(PatchBody, CodeFields):
    """What to change. The code as it is then has to make sense as a whole."""

    code: CodeText = ""
    scan_type: ScanType | None = None


class CodesQuery(PageQuery):
    q: Annotated[str, StringConstraints(max_length=200)] | None = Field(None, description="In the code or description")
    tag: Annotated[str, StringConstraints(max_length=64)] | None = None
    scan_type: ScanType | None = None
    active: QueryBool | None = None


class RewardResponse(ResponseModel):
    item: str
    quantity: int


class EncounterResponse(ResponseModel):
    id: Id
    puzzle_type: PuzzleType
    difficulty_level: int
    data: dict[str, Any]
    solution: str | None = Field(None, description="Told to admins and owners only")
    max_attempts: int | None


class CodeResponse(ResponseModel):
    """A code as staff see it."""

    id: Id
    code: str
    description: str
    scan_type: ScanType | None
    requires_location: bool
    latitude: float | None
    longitude: float | None
    radius_m: float
    reward: RewardResponse | None
    encounter: EncounterResponse | None
    destination_code: str | None
    target_url: str | None
    active: bool
    starts_at: Timestamp | None
    expires_at: Timestamp | None
    max_scans: int | None
    per_player_limit: int | None
    cooldown_seconds: int | None
    rotating: bool
    tags: list[str]
    image_url: str = Field(description="Path of the picture")
    created_at: Timestamp
    updated_at: Timestamp


class CodesResponse(ResponseModel):
    items: list[CodeResponse]
    next_cursor: str | None


@api.post("", responses={201: CodeResponse, 409: None})
@requires_role("admin", scope="codes:write")
@idempotent
def create_code(path: OrganizationPath, body: CodeBody) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Make a code."""
    new = CodeDefinition(**to_definition_fields(dict(body)) | {"code": body.code or store.generate_code_text()})
    with transaction() as conn:
        _check(conn, path.org_id, new, destination=new.destination_code)
        qr_id = store.add(conn, path.org_id, new) if body.code else _add_minted(conn, path.org_id, new)
        stored = _find(conn, path.org_id, qr_id)
        made = _code(stored)
        record(conn, "code.created", org_id=path.org_id, object_id=qr_id, new=_audit_fields(stored))
        statistics.bump_version(conn, path.org_id)
        return made, 201, {"Location": _path(path.org_id, qr_id)}


@api.get("", responses={200: CodesResponse})
@requires_role("member", scope="codes:read")
def list_codes(path: OrganizationPath, query: CodesQuery) -> dict[str, Any]:
    """The organization's codes, newest first; what is asked for must all hold."""
    before = decode_id(query.cursor)
    which = CodeFilter(query.q, query.tag, query.scan_type, query.active)
    with db.connection() as conn:
        found = store.of_organization(conn, path.org_id, which, limit=query.limit + 1, before=before)
    page, next_cursor = paginate(found, query.limit, lambda code: (str(code.id),))
    return {"items": [_code(code) for code in page], "next_cursor": next_cursor}


@api.get("/<code_id:qr_id>", responses={200: CodeResponse})
@requires_role("member", scope="codes:read")
def get_code(path: CodePath) -> dict[str, Any]:
    """One code."""
    with db.connection() as conn:
        return _code(_find(conn, path.org_id, path.qr_id))


@api.patch("/<code_id:qr_id>", responses={200: CodeResponse, 409: None})
@requires_role("admin", scope="codes:write")
def update_code(path: CodePath, body: CodePatchBody) -> dict[str, Any]:
    """Change the fields given; null clears what may be null. Scans that were judged stay as they are."""
    given = body.changes()
    with db.transaction() as conn:
        store.lock(conn, path.org_id, path.qr_id)
        before = _find(conn, path.org_id, path.qr_id)
        changed = replace(before, **to_definition_fields(given))
        _check(conn, path.org_id, changed, destination=given.get("destination_code"))
        store.save(conn, changed)
        states = rules.non_default_fields(before), rules.non_default_fields(changed)
        record_change(conn, "code.changed", *states, org_id=path.org_id, object_id=path.qr_id, secret=SECRET_FIELDS)
        statistics.bump_version(conn, path.org_id)
        return _code(_find(conn, path.org_id, path.qr_id))


@api.delete("/<code_id:qr_id>", responses={204: None})
@requires_role("admin", scope="codes:write")
def delete_code(path: CodePath) -> tuple[str, int]:
    """Remove a code. Its scans stay; its text is free again."""
    with db.transaction() as conn:
        store.lock(conn, path.org_id, path.qr_id)
        removed = _find(conn, path.org_id, path.qr_id)
        store.delete(conn, path.org_id, path.qr_id)
        record(conn, "code.deleted", org_id=path.org_id, object_id=path.qr_id, old=_audit_fields(removed))
        statistics.bump_version(conn, path.org_id)
    return "", 204


def _check(conn: Conn, org_id: UUID, code: CodeDefinition, *, destination: str | None) -> None:
    """Raises Invalid. A destination is looked up only where it is given: it may have been removed since."""
    found = rules.find_errors(code)
    if not found and destination is not None and not store.code_exists(conn, org_id, destination):
        found = (FieldError("body.destination_code", "this organization has no such code"),)
    if found:
        raise Invalid(*found)


def _add_minted(conn: Conn, org_id: UUID, new: CodeDefinition) -> UUID:
    while True:
        try:
            return store.add(conn, org_id, new)
        except CodeTaken:
            new = replace(new, code=store.generate_code_text())


def _find(conn: Conn, org_id: UUID, qr_id: UUID) -> StoredCode:
    found = store.find(conn, org_id, qr_id)
    if found is None:
        raise NotFound
    return found


def _audit_fields(code: CodeDefinition) -> dict[str, Any]:
    return redact(rules.non_default_fields(code), SECRET_FIELDS)


def _path(org_id: UUID, qr_id: UUID) -> str:
    return f"/api/organizations/{org_id}/qr-codes/{qr_id}"


def _code(found: StoredCode) -> dict[str, Any]:
    kept_back = None if includes_role(current_role(), "admin") else {"encounter": {"solution"}}
    shown = vars(found) | {"image_url": f"{_path(found.org_id, found.id)}/image"}
    return CodeResponse.model_validate(shown).model_dump(mode="json", exclude=kept_back)
