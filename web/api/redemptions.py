"""Redemptions over HTTP: confirm a player's token at a service counter, list, undo."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, StringConstraints

from shared.accounts import store as accounts
from shared.errors import AlreadyRedeemed, AlreadyUndone, BalanceTooLow, NotFound, TokenExpired, UnknownToken
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.timestamps import format_rfc3339
from shared.redemptions import items, redemption_list, rules, store
from shared.redemptions.redemption_list import DailyRedemptions, RedemptionFilter, RedemptionPosition
from shared.redemptions.rules import Redemption
from shared.redemptions.store import Token
from web.http.audit_log import record
from web.http.auth import current_caller, requires_role
from web.http.idempotency import idempotent, transaction
from web.http.pagination import InvalidCursor, PageQuery, decode_cursor, paginate
from web.http.relay_wakeup import wake_relay_after_request
from web.http.schemas import Body, Id, OrganizationPath, Query, ResponseModel, Timestamp

api = APIBlueprint(
    "redemptions", __name__, url_prefix="/api/organizations/<org_id>/redemptions", abp_tags=[Tag(name="Redemptions")]
)


class RedemptionFilterQuery(Query):
    item: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = Field(
        None, description="Name of the item", examples=["coffee"]
    )
    counter: Id | None = Field(None, description="Id of the member or the API key that confirmed it")
    since: Timestamp | None = Field(None, description="Earliest time of the redemption")
    until: Timestamp | None = Field(None, description="The times of the redemptions are before this one")

    def conditions(self) -> RedemptionFilter:
        return RedemptionFilter(self.item, self.counter, self.since, self.until)


class RedemptionsQuery(RedemptionFilterQuery, PageQuery):
    """Conditions on redemptions, and the page of the list."""


class RedemptionBody(Body):
    """A token as it was scanned or typed: the letter case does not matter."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "7Z3K9QF2M8XW4CVB"}]})

    token: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class RedemptionPath(OrganizationPath):
    redemption_id: Id


class CounterResponse(ResponseModel):
    """The service counter: the member by current username, or the API key by name."""

    kind: Literal["member", "key"] = Field(examples=["key"])
    id: Id
    name: str = Field(examples=["Kiosk"])


class RedemptionResponse(ResponseModel):
    """An item that was handed out."""

    model_config = ConfigDict(from_attributes=True)

    id: Id
    player_id: Id
    item: str = Field(examples=["coffee"])
    quantity: int = Field(examples=[1])
    at: Timestamp
    counter: CounterResponse
    undone_at: Timestamp | None = Field(description="When it was undone, or null")


class RedemptionsResponse(ResponseModel):
    items: list[RedemptionResponse]
    next_cursor: str | None


class ConfirmedResponse(ResponseModel):
    """A redemption, and the balance that it leaves."""

    id: Id
    player_id: Id
    item: str = Field(examples=["coffee"])
    quantity: int = Field(examples=[1])
    balance: int = Field(description="What the player has left of the item", examples=[2])
    at: Timestamp
    counter: CounterResponse


class PreviewResponse(ResponseModel):
    """What a token is for, before it is redeemed."""

    player_id: Id
    username: str = Field(examples=["ada"])
    item: str = Field(examples=["coffee"])
    quantity: int = Field(examples=[1])
    balance: int = Field(description="What the player has of the item now", examples=[3])


class UndoneResponse(RedemptionResponse):
    """A redemption that was undone, and the balance that the player has again."""

    balance: int = Field(description="What the player has of the item", examples=[3])


@api.post("", responses={201: ConfirmedResponse, 409: None, 410: None})
@requires_role("admin", scope="redeem")
@idempotent
def create_redemption(path: OrganizationPath, body: RedemptionBody) -> tuple[dict[str, Any], int]:
    """Redeem an item

    Needs the role admin, or an API key with the scope `redeem`. Takes the item from the player's balance, once for each
    token. 409 if the token was used before: `redemption` says when, and at which service counter. 409 too if the
    balance or the stock is too low, or if the item is past its end date. 404 for a token of another organization's
    item. 410 if the token has expired.
    """
    digest, caller = rules.token_digest(body.token), current_caller()
    with transaction() as conn:
        token = store.find_token(conn, path.org_id, digest)
        _raise_if_redeemed(conn, path.org_id, digest)
        if token is None:
            raise UnknownToken
        if token.is_expired:
            raise TokenExpired
        redemption_id = store.use_token(conn, path.org_id, token, "key" if caller.key else "member", caller.id)
        if redemption_id is None:
            _raise_if_redeemed(conn, path.org_id, digest)
            raise UnknownToken
        balance = store.pay(conn, redemption_id)
        items.take(conn, path.org_id, token.item, token.quantity, datetime.now(UTC))
        record(conn, "redemption.created", org_id=path.org_id, object_id=redemption_id, new=_audit_fields(token))
        redemption = _find(conn, path.org_id, redemption_id)
    wake_relay_after_request()
    return ConfirmedResponse.model_validate(to_response(redemption) | {"balance": balance}).model_dump(mode="json"), 201


@api.post("/preview", responses={200: PreviewResponse, 409: None, 410: None})
@requires_role("admin")
def check_redemption_token(path: OrganizationPath, body: RedemptionBody) -> dict[str, Any]:
    """Check a redemption token

    Needs the role admin. Returns what a token is for, and the player's balance. Nothing is redeemed, and the token
    stays valid until it expires. 404, 409 and 410 as for the redemption.
    """
    digest = rules.token_digest(body.token)
    with db.connection() as conn:
        token = store.find_token(conn, path.org_id, digest)
        _raise_if_redeemed(conn, path.org_id, digest)
        if token is None:
            raise UnknownToken
        if token.is_expired:
            raise TokenExpired
        rules.check_limits(items.get(conn, path.org_id, token.item), token.quantity, datetime.now(UTC))
        holdings = store.list_holdings(conn, token.player_id, token.item)
        player = accounts.get_account(conn, token.player_id)
    balance = next((held.balance for held in holdings if held.org_id == path.org_id), 0)
    if balance < token.quantity:
        raise BalanceTooLow
    # Erased meanwhile.
    if player is None:
        raise UnknownToken
    return PreviewResponse.model_validate(
        {
            "player_id": token.player_id,
            "username": player.username,
            "item": token.item,
            "quantity": token.quantity,
            "balance": balance,
        }
    ).model_dump(mode="json")


@api.get("", responses={200: RedemptionsResponse})
@requires_role("analyst")
def list_redemptions(path: OrganizationPath, query: RedemptionsQuery) -> dict[str, Any]:
    """List redemptions

    Needs the role analyst. Newest first, with undone ones. Conditions combine.
    """
    before = _position(query.cursor) if query.cursor else None
    with db.connection() as conn:
        found = redemption_list.list_redemptions(
            conn, path.org_id, query.conditions(), limit=query.limit + 1, before=before
        )
    page, next_cursor = paginate(found, query.limit, lambda each: (each.at.isoformat(), str(each.id)))
    return {"items": [to_response(redemption) for redemption in page], "next_cursor": next_cursor}


@api.post("/<redemption_id>/undo", responses={200: UndoneResponse, 403: None, 409: None})
@requires_role("admin", scope="redeem")
@idempotent
def undo_redemption(path: RedemptionPath) -> dict[str, Any]:
    """Undo a redemption

    For the admin or the API key that confirmed it, within 15 minutes and once: else 403 or 409. The player has the item
    again, unless the scan that gave it was annulled meanwhile. The token stays used.
    """
    with transaction() as conn:
        redemption = _find(conn, path.org_id, path.redemption_id)
        rules.check_undo(redemption, current_caller().id, datetime.now(UTC))
        # A concurrent undo has the row locked: this one waits, and changes nothing.
        if not store.undo(conn, redemption.id):
            raise AlreadyUndone
        balance = store.pay_back(conn, redemption.id)
        items.add_redeemed(conn, path.org_id, redemption.item, -redemption.quantity)
        record(conn, "redemption.undone", org_id=path.org_id, object_id=redemption.id, old=_audit_fields(redemption))
        redemption = _find(conn, path.org_id, redemption.id)
    wake_relay_after_request()
    return UndoneResponse.model_validate(to_response(redemption) | {"balance": balance}).model_dump(mode="json")


def _find(conn: Conn, org_id: UUID, redemption_id: UUID) -> Redemption:
    redemption = store.find(conn, org_id, redemption_id)
    if redemption is None:
        raise NotFound
    return redemption


def _raise_if_redeemed(conn: Conn, org_id: UUID, digest: bytes) -> None:
    first = store.find_by_token(conn, org_id, digest)
    if first is not None:
        undone = ", and undone since" if first.undone_at else ""
        raise AlreadyRedeemed(
            f"Already redeemed at {format_rfc3339(first.at)}, by {first.counter_name}{undone}.", to_response(first)
        )


def _audit_fields(redeemed: Token | Redemption) -> dict[str, Any]:
    return {"player_id": redeemed.player_id, "item": redeemed.item, "quantity": redeemed.quantity}


def to_response(redemption: Redemption) -> dict[str, Any]:
    """Return the redemption for staff."""
    return RedemptionResponse.model_validate(vars(redemption) | {"counter": counter_response(redemption)}).model_dump(
        mode="json"
    )


def counter_response(redeemed: Redemption | DailyRedemptions) -> dict[str, Any]:
    """Return the service counter for staff."""
    return {"kind": redeemed.counter_kind, "id": redeemed.counter_id, "name": redeemed.counter_name}


def _position(cursor: str) -> RedemptionPosition:
    at, redemption_id = decode_cursor(cursor, 2)
    try:
        time = datetime.fromisoformat(at)
        if time.tzinfo is None:
            raise InvalidCursor
        return RedemptionPosition(time, UUID(redemption_id))
    except ValueError:
        raise InvalidCursor from None
