"""Aliases of organizations over HTTP: list and delete the slugs that an organization had before."""

import re
from typing import Any

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.errors import NotFound
from shared.infra import db
from shared.organizations import slugs, store
from shared.organizations.rules import SLUG
from web.http.audit_log import record
from web.http.auth import requires_role
from web.http.pagination import InvalidCursor, PageQuery, decode_cursor, paginate
from web.http.schemas import OrganizationPath, ResponseModel, Timestamp

api = APIBlueprint(
    "slug_aliases",
    __name__,
    url_prefix="/api/organizations/<org_id>/aliases",
    abp_tags=[Tag(name="Organizations")],
)


class SlugAliasPath(OrganizationPath):
    alias: str = Field(examples=["old-museum"])


class SlugAliasResponse(ResponseModel):
    """A former slug of an organization, which still leads to it."""

    slug: str = Field(examples=["old-museum"])
    created_at: Timestamp = Field(description="When the slug was first used")


class SlugAliasesResponse(ResponseModel):
    items: list[SlugAliasResponse]
    next_cursor: str | None


@api.get("", responses={200: SlugAliasesResponse})
@requires_role("member")
def list_slug_aliases(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """List the aliases of an organization

    Needs the role member. An alias is a slug that the organization had before. `/b/{alias}` redirects to the current
    slug, so printed business codes still work.
    """
    after = decode_cursor(query.cursor, 1)[0] if query.cursor else ""
    if after and not re.fullmatch(SLUG, after):
        raise InvalidCursor
    with db.connection() as conn:
        found = slugs.list_aliases(conn, path.org_id, limit=query.limit + 1, after=after)
    page, next_cursor = paginate(found, query.limit, lambda alias: (alias.slug,))
    items = [SlugAliasResponse.model_validate(alias) for alias in page]
    return SlugAliasesResponse(items=items, next_cursor=next_cursor).model_dump(mode="json")


@api.delete("/<alias>", responses={204: None})
@requires_role("owner")
def delete_slug_alias(path: SlugAliasPath) -> tuple[str, int]:
    """Delete an alias of an organization

    Needs the role owner. `/b/{alias}` answers 410 from now on. Only this organization can use the slug again.
    """
    with db.transaction() as conn:
        store.lock(conn, path.org_id)
        if not slugs.delete_alias(conn, path.org_id, path.alias):
            raise NotFound
        record(conn, "alias.deleted", org_id=path.org_id, object_id=path.org_id, old={"slug": path.alias})
    return "", 204
