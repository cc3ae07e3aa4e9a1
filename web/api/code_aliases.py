"""Aliases of codes over HTTP: list and delete the texts that a code had before it was renamed."""

import re
from typing import Any

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.codes import aliases, store
from shared.codes.rules import CODE_PATTERN
from shared.errors import NotFound
from shared.infra import db
from web.http.audit_log import record
from web.http.auth import requires_role
from web.http.pagination import InvalidCursor, PageQuery, decode_cursor, paginate
from web.http.schemas import CodePath, ResponseModel, Timestamp

api = APIBlueprint(
    "code_aliases",
    __name__,
    url_prefix="/api/organizations/<org_id>/qr-codes/<code_id:qr_id>/aliases",
    abp_tags=[Tag(name="QR codes")],
)


class CodeAliasPath(CodePath):
    alias: str = Field(examples=["spy122"])


class CodeAliasResponse(ResponseModel):
    """A former text of a code, which still leads to it."""

    code: str = Field(description="The text", examples=["spy122"])
    created_at: Timestamp = Field(description="When the text was first used")


class CodeAliasesResponse(ResponseModel):
    items: list[CodeAliasResponse]
    next_cursor: str | None


@api.get("", responses={200: CodeAliasesResponse})
@requires_role("member", scope="codes:read")
def list_code_aliases(path: CodePath, query: PageQuery) -> dict[str, Any]:
    """List the aliases of a code

    Needs the role member. An alias is a text that the code had before it was renamed. Prints with an alias open and
    scan like prints with the current text.
    """
    after = decode_cursor(query.cursor, 1)[0] if query.cursor else ""
    if after and not re.fullmatch(CODE_PATTERN, after):
        raise InvalidCursor
    with db.connection() as conn:
        if store.find(conn, path.org_id, path.qr_id) is None:
            raise NotFound
        found = aliases.list_for_code(conn, path.qr_id, limit=query.limit + 1, after=after)
    page, next_cursor = paginate(found, query.limit, lambda alias: (alias.code,))
    items = [CodeAliasResponse.model_validate(alias) for alias in page]
    return CodeAliasesResponse(items=items, next_cursor=next_cursor).model_dump(mode="json")


@api.delete("/<alias>", responses={204: None})
@requires_role("admin", scope="codes:write")
def delete_code_alias(path: CodeAliasPath) -> tuple[str, int]:
    """Delete an alias of a code

    Needs the role admin. Prints with this text answer 410 from now on. Only this organization can use the text again,
    for any of its codes.
    """
    with db.transaction() as conn:
        if store.find(conn, path.org_id, path.qr_id) is None or not aliases.delete(conn, path.qr_id, path.alias):
            raise NotFound
        record(conn, "alias.deleted", org_id=path.org_id, object_id=path.qr_id, old={"code": path.alias})
    return "", 204
