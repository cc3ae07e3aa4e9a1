"""Codes over HTTP: create, list, update, delete."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, StringConstraints
from werkzeug.routing import BaseConverter

from shared.analytics import cache_versions
from shared.analytics.code_usage import CodeUsage, usage_by_code
from shared.audit.rules import redact
from shared.codes import rules, selection, store
from shared.codes.filters import CodeFilter
from shared.codes.rules import CodeDefinition, ScanType
from shared.codes.schemas import CodeBody, CodeFields, CodeText, to_definition_fields
from shared.codes.store import StoredCode
from shared.encounters.rules import PuzzleType
from shared.errors import CodeTaken, Forbidden, Invalid, NotFound, ScopeMissing
from shared.images import store as images
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.timestamps import format_rfc3339
from shared.organizations import usage
from shared.organizations.rules import includes_role
from web.http.audit_log import record, record_change
from web.http.auth import current_caller, current_role, requires_role
from web.http.idempotency import idempotent, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.schemas import (
    CodePath,
    Id,
    OrganizationPath,
    PatchBody,
    Query,
    QueryBool,
    ResponseModel,
    TextFormat,
    Timestamp,
)
from web.http.settings import current_settings

api = APIBlueprint(
    "codes", __name__, url_prefix="/api/organizations/<org_id>/qr-codes", abp_tags=[Tag(name="QR codes")]
)

SECRET_FIELDS = {"solution"}


class CodeIdConverter(BaseConverter):
    """A code's id in a path: any segment except the names of other routes."""

    regex = r"(?!(?:bulk|import|export|places|blank)\Z)[^/]+"


class CodePatchBody(PatchBody, CodeFields):
    """The fields to change. The changed code must be valid as a whole."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "Behind the statue", "active": False}]})

    code: CodeText = ""
    scan_type: ScanType | None = None


class CodeFilterQuery(Query):
    q: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        None, description="Part of the code text, of an alias or of the description"
    )
    tag: Annotated[str, StringConstraints(max_length=64)] | None = None
    scan_type: ScanType | None = None
    active: QueryBool | None = None

    def to_filter(self) -> CodeFilter:
        return CodeFilter(self.q, self.tag, self.scan_type, self.active)


class CodesQuery(CodeFilterQuery, PageQuery):
    include: Annotated[str, TextFormat(r"^(usage|total)(,(usage|total))?$", "Use usage, total, or usage,total.")] = (
        Field("", description="`total`, `usage`, or both with a comma between", examples=["usage,total"])
    )


class RewardResponse(ResponseModel):
    item: str
    quantity: int


class CodeEncounterResponse(ResponseModel):
    id: Id
    puzzle_type: PuzzleType
    difficulty_level: int
    data: dict[str, Any]
    solution: str | None = Field(None, description="Only for admins and owners")
    max_attempts: int | None


CODE_EXAMPLE: dict[str, Any] = {
    "id": "0197a6b0-0000-7000-8000-000000000002",
    "code": "spy123",
    "description": "Behind the statue",
    "scan_type": "item_drop",
    "requires_location": True,
    "latitude": 52.3731,
    "longitude": 4.8926,
    "radius_m": 50.0,
    "reward": {"item": "gem", "quantity": 1},
    "encounter": None,
    "destination_code": None,
    "target_url": None,
    "active": True,
    "starts_at": None,
    "expires_at": "2026-12-31T23:59:59Z",
    "max_scans": 100,
    "per_player_limit": 1,
    "cooldown_seconds": None,
    "offline_hours": None,
    "answer_within_hours": 24.0,
    "rotating": False,
    "rotation_seconds": 30,
    "tags": ["east"],
    "warnings": [],
    "image_url": "/api/organizations/0197a6b0-0000-7000-8000-000000000003"
    "/qr-codes/0197a6b0-0000-7000-8000-000000000002/image",
    "created_at": "2026-02-12T10:00:00Z",
    "updated_at": "2026-02-12T10:00:00Z",
}


class CodeResponse(ResponseModel):
    """A code as members see it."""

    model_config = ConfigDict(json_schema_extra={"examples": [CODE_EXAMPLE]})

    id: Id
    code: str
    description: str
    scan_type: ScanType | None
    requires_location: bool
    latitude: float | None
    longitude: float | None
    radius_m: float
    reward: RewardResponse | None
    encounter: CodeEncounterResponse | None
    destination_code: str | None
    target_url: str | None
    active: bool
    starts_at: Timestamp | None
    expires_at: Timestamp | None
    max_scans: int | None
    per_player_limit: int | None
    cooldown_seconds: int | None
    offline_hours: float | None
    answer_within_hours: float
    rotating: bool
    rotation_seconds: int
    tags: list[str]
    warnings: list[str] = Field(
        description="Why a success gives nothing, or photographs of a rotating code work, in sentences; else empty"
    )
    image_url: str = Field(description="Path of the image; that of a rotating code is for admins")
    created_at: Timestamp
    updated_at: Timestamp


class ListedCodeResponse(CodeResponse):
    """A code of a list, with its usage if it is included."""

    scans: int | None = Field(None, description="With `include=usage`: settled scans")
    last_scan_at: Timestamp | None = Field(None, description="With `include=usage`: the time of the last settled scan")
    use_count: int | None = Field(None, description="With `include=usage`: scans and visits against `max_scans`")


class CodesResponse(ResponseModel):
    items: list[ListedCodeResponse]
    total: int | None = Field(
        None, description="With `include=total`: codes that match. 10,001 stands for more than 10,000", examples=[1]
    )
    next_cursor: str | None


@api.post("", responses={201: CodeResponse, 409: None})
@requires_role("admin", scope="codes:write")
@idempotent
def create_code(path: OrganizationPath, body: CodeBody) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Create a code

    Needs the role admin. 409 if the code text is taken, or if the organization has as many codes as its quota allows. A
    text that was used stays with its organization, which can use it again once its code is deleted. A retry with the
    same `Idempotency-Key` returns the first code.
    """
    new = CodeDefinition(**to_definition_fields(dict(body)) | {"code": body.code or store.generate_code_text()})
    with transaction() as conn:
        _check(new)
        qr_id = store.add(conn, path.org_id, new) if body.code else _add_generated(conn, path.org_id, new)
        usage.check_codes(conn, path.org_id, added=1, limit=current_settings().max_codes_per_organization)
        code = _find(conn, path.org_id, qr_id)
        record(conn, "code.created", org_id=path.org_id, object_id=qr_id, new=_audit_fields(code))
        cache_versions.bump_version(conn, path.org_id)
        return _to_response(code), 201, {"Location": _path(path.org_id, qr_id)}


@api.get("", responses={200: CodesResponse})
@requires_role("member", scope="codes:read")
def list_codes(path: OrganizationPath, query: CodesQuery) -> dict[str, Any]:
    """List codes

    Needs the role member. Newest first. Filters combine: a code must match all of them. Only admins and owners get
    the solutions of puzzles. `include=usage` needs the role analyst, or a key with the scope `analytics` as well. It
    counts scans as the statistics do.
    """
    before = decode_id(query.cursor)
    conditions = query.to_filter()
    with_usage, with_total = "usage" in query.include, "total" in query.include
    if with_usage:
        _require_analytics()
    with db.connection() as conn:
        codes = store.list_for_organization(conn, path.org_id, conditions, limit=query.limit + 1, before=before)
        page, next_cursor = paginate(codes, query.limit, lambda code: (str(code.id),))
        items = [_to_response(code) for code in page]
        if with_usage:
            usages = usage_by_code(conn, path.org_id, [code.id for code in page])
            items = [item | _usage_fields(usages[code.id]) for item, code in zip(items, page, strict=True)]
        total = {"total": selection.count(conn, path.org_id, conditions)} if with_total else {}
    return {"items": items, **total, "next_cursor": next_cursor}


@api.get("/<code_id:qr_id>", responses={200: CodeResponse})
@requires_role("member", scope="codes:read")
def get_code(path: CodePath) -> dict[str, Any]:
    """Get a code

    Needs the role member. Only admins and owners get the solution of a puzzle.
    """
    with db.connection() as conn:
        return _to_response(_find(conn, path.org_id, path.qr_id))


@api.patch("/<code_id:qr_id>", responses={200: CodeResponse, 409: None})
@requires_role("admin", scope="codes:write")
def update_code(path: CodePath, body: CodePatchBody) -> dict[str, Any]:
    """Update a code

    Needs the role admin. Changes only the fields in the body. A null clears an optional field. Verdicts on earlier
    scans do not change. After a rename, the old text leads to the code as an alias. 409 if the new code text is taken,
    or if the code has 100 aliases.
    """
    changes = to_definition_fields(body.changes())
    return change_code(path, "code.changed", lambda code: replace(code, **changes))


@api.delete("/<code_id:qr_id>", responses={204: None, 409: None})
@requires_role("admin", scope="codes:write")
def delete_code(path: CodePath) -> tuple[str, int]:
    """Delete a code

    Needs the role admin. Its scans remain. Its texts answer 410, and only this organization can use them again. 409 if
    it is the destination of other codes, which the message names.
    """
    with db.transaction() as conn:
        store.lock(conn, path.org_id, path.qr_id)
        code = _find(conn, path.org_id, path.qr_id)
        store.delete(conn, path.org_id, path.qr_id)
        images.remove_customization(conn, path.qr_id)
        record(conn, "code.deleted", org_id=path.org_id, object_id=path.qr_id, old=_audit_fields(code))
        cache_versions.bump_version(conn, path.org_id)
    return "", 204


def change_code(path: CodePath, action: str, change: Callable[[StoredCode], StoredCode]) -> dict[str, Any]:
    """Change a code in a transaction, with an entry of the audit log. Return it as a response."""
    with db.transaction() as conn:
        store.lock(conn, path.org_id, path.qr_id)
        before = _find(conn, path.org_id, path.qr_id)
        changed = change(before)
        _check(changed)
        store.save(conn, changed)
        if changed.code != before.code:
            store.check_aliases(conn, path.qr_id)
            usage.check_texts(conn, path.org_id, max_codes=current_settings().max_codes_per_organization)
        record_change(
            conn,
            action,
            rules.field_values(before),
            rules.field_values(changed),
            org_id=path.org_id,
            object_id=path.qr_id,
            secret=SECRET_FIELDS,
        )
        cache_versions.bump_version(conn, path.org_id)
        return _to_response(_find(conn, path.org_id, path.qr_id))


def _check(code: CodeDefinition) -> None:
    """Raise Invalid if the code contradicts itself."""
    if errors := rules.find_errors(code):
        raise Invalid(*errors)


def _add_generated(conn: Conn, org_id: UUID, new: CodeDefinition) -> UUID:
    while True:
        try:
            return store.add(conn, org_id, new)
        except CodeTaken:
            new = replace(new, code=store.generate_code_text())


def _find(conn: Conn, org_id: UUID, qr_id: UUID) -> StoredCode:
    code = store.find(conn, org_id, qr_id)
    if code is None:
        raise NotFound
    return code


def _require_analytics() -> None:
    """Raise Forbidden unless the caller may read statistics."""
    key = current_caller().key
    if key is not None and "analytics" not in key.scopes:
        raise ScopeMissing("analytics")
    if key is None and not includes_role(current_role(), "analyst"):
        raise Forbidden("Only analysts, admins and owners see the usage of codes.")


def _usage_fields(usage: CodeUsage) -> dict[str, Any]:
    last = usage.last_scan_at
    return {"scans": usage.scans, "last_scan_at": last and format_rfc3339(last), "use_count": usage.use_count}


def _audit_fields(code: CodeDefinition) -> dict[str, Any]:
    return redact(rules.non_default_fields(code), SECRET_FIELDS)


def _path(org_id: UUID, qr_id: UUID) -> str:
    return f"/api/organizations/{org_id}/qr-codes/{qr_id}"


def _to_response(code: StoredCode) -> dict[str, Any]:
    hidden = None if includes_role(current_role(), "admin") else {"encounter": {"solution"}}
    fields = vars(code) | {
        "warnings": rules.warning_sentences(code),
        "image_url": f"{_path(code.org_id, code.id)}/{'rotating/image' if code.rotating else 'image'}",
    }
    return CodeResponse.model_validate(fields).model_dump(mode="json", exclude=hidden)
