"""Redemption tokens over HTTP: a player requests one, shows it at a service counter, and asks what became of it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, StringConstraints

from shared.errors import NotFound
from shared.images.image_spec import ImageSpec
from shared.infra import db
from shared.infra.event_loop import run_in_thread
from shared.infra.schema_types import single_line
from shared.redemptions import items, rules, store
from web.http.auth import current_player_id, requires_login
from web.http.idempotency import idempotent_secret, transaction
from web.http.schemas import Body, Id, ResponseModel, WholeNumber

api = APIBlueprint("redemption_tokens", __name__, url_prefix="/redemptions", abp_tags=[Tag(name="Redemptions")])


class TokenRequestBody(Body):
    """What the player redeems. `org_id` is needed only if several organizations gave items of this name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item": "coffee", "quantity": 1}]})

    item: Annotated[str, single_line(100)]
    quantity: Annotated[int, WholeNumber(1, 1_000_000)] = 1
    org_id: Id | None = Field(None, description="Issuer of the item, as the inventory names it")


class TokenResponse(ResponseModel):
    """A token to show at a service counter. It can be used once, until it expires."""

    token: str = Field(description="Also the text of the QR code", examples=["7Z3K9QF2M8XW4CVB"])
    expires_in: int = Field(description="Seconds", examples=[60])
    org_id: Id = Field(description="The organization that redeems it")
    qr_svg: str = Field(description="The QR code as an SVG image", examples=["<svg xmlns=…>…</svg>"])


class TokenStatusBody(Body):
    """A token of the caller. It is in the body, because logs contain paths."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"token": "7Z3K9QF2M8XW4CVB"}]})

    token: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class TokenStatusResponse(ResponseModel):
    """What became of a token."""

    status: Literal["valid", "redeemed", "expired"] = Field(description="Redeemed also if that was undone since")
    balance: int = Field(description="What the player has of the item now", examples=[2])


@api.post("/token", responses={201: TokenResponse, 409: None, 410: None})
@requires_login
@idempotent_secret
def create_redemption_token(body: TokenRequestBody) -> tuple[dict[str, Any], int]:
    """Create a redemption token

    For any player, for their own items. The token is valid for 60 seconds and can be used once. It reserves nothing.
    409 if the balance is too low, if the item is out of stock or past its end date, or if no organization issued it.
    410 if the organization is closed. 422 names the choices if several organizations issued items of this name.
    """
    token = rules.new_token()
    with transaction() as conn:
        holdings = store.list_holdings(conn, current_player_id(), body.item)
        org_id = rules.choose_issuer(holdings, body.item, body.quantity, body.org_id)
        rules.check_limits(items.get(conn, org_id, body.item), body.quantity, datetime.now(UTC))
        store.purge_player_tokens(conn, current_player_id())
        store.add_token(conn, rules.token_digest(token), current_player_id(), org_id, body.item, body.quantity)
    response = TokenResponse(
        token=token, expires_in=int(rules.TOKEN_TTL.total_seconds()), org_id=org_id, qr_svg=_qr_svg(token)
    )
    return response.model_dump(mode="json"), 201


@api.post("/token/status", responses={200: TokenStatusResponse, 404: None})
@requires_login
def get_token_status(body: TokenStatusBody) -> dict[str, Any]:
    """Get the status of a redemption token

    For the player who requested it, until ten minutes after it expired. Changes nothing. 404 for a token of another
    player.
    """
    with db.connection() as conn:
        state = store.find_token_state(conn, current_player_id(), rules.token_digest(body.token))
    if state is None:
        raise NotFound
    status: Literal["valid", "redeemed", "expired"] = (
        "redeemed" if state.is_redeemed else "expired" if state.is_expired else "valid"
    )
    return TokenStatusResponse(status=status, balance=state.balance).model_dump(mode="json")


def _qr_svg(token: str) -> str:
    def render() -> bytes:
        from shared.images.render import render  # noqa: PLC0415 - loads the renderer on first use

        return render(ImageSpec(text=token, format="svg"))

    return run_in_thread(render).decode()
