"""The tags of an organization's codes over HTTP."""

from typing import Annotated, Any

from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints

from shared.codes import tags
from shared.infra import db
from web.http.auth import requires_role
from web.http.pagination import PageQuery, decode_cursor, paginate
from web.http.schemas import OrganizationPath, ResponseModel

api = APIBlueprint("tags", __name__, url_prefix="/api/organizations/<org_id>/tags", abp_tags=[Tag(name="QR codes")])


class TagsQuery(PageQuery):
    q: Annotated[str, StringConstraints(max_length=64)] = Field("", description="Start of the tag, in any case")


class TagResponse(ResponseModel):
    """A tag, and how many codes have it."""

    tag: str = Field(examples=["landmark"])
    codes: int = Field(description="Codes with this tag", examples=[3])


class TagsResponse(ResponseModel):
    items: list[TagResponse]
    next_cursor: str | None


@api.get("", responses={200: TagsResponse})
@requires_role("member", scope="codes:read")
def list_tags(path: OrganizationPath, query: TagsQuery) -> dict[str, Any]:
    """List the tags of codes

    Needs the role member. In the order of their names.
    """
    after = decode_cursor(query.cursor, 1)[0] if query.cursor else ""
    with db.connection() as conn:
        found = tags.list_for_organization(conn, path.org_id, query.q, limit=query.limit + 1, after=after)
    page, next_cursor = paginate(found, query.limit, lambda tag: (tag.tag,))
    return {"items": [{"tag": tag.tag, "codes": tag.codes} for tag in page], "next_cursor": next_cursor}
