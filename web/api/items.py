"""The items of an organization over HTTP: what can be redeemed of each."""

from typing import Annotated, Any

from flask_openapi import APIBlueprint, Tag
from pydantic import Field

from shared.errors import TooManyItems
from shared.infra import db
from shared.infra.schema_types import single_line
from shared.organizations import store as organizations
from shared.redemptions import items
from shared.redemptions.rules import Item
from web.http.audit_log import record
from web.http.auth import requires_role
from web.http.pagination import PageQuery, decode_cursor, paginate
from web.http.schemas import Body, OrganizationPath, ResponseModel, Timestamp, WholeNumber

api = APIBlueprint(
    "items", __name__, url_prefix="/api/organizations/<org_id>/items", abp_tags=[Tag(name="Redemptions")]
)


MAX_LIMITED_ITEMS = 1_000


class ItemPath(OrganizationPath):
    item: Annotated[str, single_line(100)] = Field(examples=["coffee"])


class ItemBody(Body):
    """The limits of an item. One that is absent or null is removed."""

    stock: Annotated[int, WholeNumber(0, 10**12)] | None = Field(
        None, description="How many can be redeemed in all, those of the past included", examples=[500]
    )
    expires_at: Timestamp | None = Field(None, description="The item can be redeemed before this time")

    @property
    def is_limit(self) -> bool:
        return self.stock is not None or self.expires_at is not None


class RedeemableItemResponse(ResponseModel):
    """An item, its limits, and how many were redeemed. Undone redemptions do not count."""

    item: str = Field(examples=["coffee"])
    stock: int | None = Field(description="How many can be redeemed in all; null: no limit", examples=[500])
    expires_at: Timestamp | None = Field(description="The item can be redeemed before this time; null: always")
    redeemed: int = Field(description="How many were redeemed in all", examples=[120])
    left: int | None = Field(description="How many can still be redeemed; null: no limit", examples=[380])


class RedeemableItemsResponse(ResponseModel):
    items: list[RedeemableItemResponse]
    next_cursor: str | None


@api.get("", responses={200: RedeemableItemsResponse})
@requires_role("analyst")
def list_items(path: OrganizationPath, query: PageQuery) -> dict[str, Any]:
    """List items

    Needs the role analyst. The items that codes and quests of the organization give, and those that have limits or were
    redeemed, by name.
    """
    after = decode_cursor(query.cursor, 1)[0] if query.cursor else ""
    with db.connection() as conn:
        found = items.list_items(conn, path.org_id, limit=query.limit + 1, after=after)
    page, next_cursor = paginate(found, query.limit, lambda item: (item.item,))
    return {"items": [_to_response(item) for item in page], "next_cursor": next_cursor}


@api.put("/<path:item>", responses={200: RedeemableItemResponse, 409: None})
@requires_role("admin")
def set_item_limits(path: ItemPath, body: ItemBody) -> dict[str, Any]:
    """Set the limits of an item

    Needs the role admin. Balances stay: a player who has more than is left cannot redeem it. A stock below the number
    of redeemed items leaves none. 409 if the organization limits 1,000 other items.
    """
    with db.transaction() as conn:
        # Two items cannot take the last place at once.
        organizations.lock(conn, path.org_id)
        if body.is_limit and items.count_limited(conn, path.org_id, except_for=path.item) >= MAX_LIMITED_ITEMS:
            raise TooManyItems
        old = items.lock(conn, path.org_id, path.item)
        new = items.set_limits(conn, path.org_id, path.item, body.stock, body.expires_at)
        if new != old:
            # The name of an item is not an id: it is erased with the organization, as old and new values are.
            record(conn, "item.changed", org_id=path.org_id, object_id=path.org_id, old=_limits(old), new=_limits(new))
    return _to_response(new)


def _limits(item: Item) -> dict[str, Any]:
    return {"item": item.item, "stock": item.stock, "expires_at": item.expires_at}


def _to_response(item: Item) -> dict[str, Any]:
    return RedeemableItemResponse.model_validate(item).model_dump(mode="json")
