"""Sessions of browsers: sign in, create an account, be a guest, sign out, continue on another device.

The rules are those of /auth. A session is proved by a cookie that no script can read, instead of tokens in bodies.
"""

import json
import secrets
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID

from flask import Response, request
from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints

from shared.accounts import sessions, store
from shared.accounts.store import Account
from shared.errors import CredentialsRevoked, Gone
from shared.images.plain_svg import render_plain_svg
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.infra.pubsub_messages import publish_access_change
from shared.infra.redis import client, key
from web.api import accounts
from web.api.accounts import MAX_BODY_BYTES, LoginBody, RegisterBody, StartedSession, documents_uuid_key
from web.http.auth import browser_only, current_caller, public, requires_login
from web.http.idempotency import documents_idempotency_key
from web.http.request_context import max_body_bytes, serialize_requests
from web.http.responses import json_response
from web.http.schemas import Body, Id, ResponseModel, Timestamp
from web.http.session_cookies import clear_session_cookie, session_caller, set_session_cookie
from web.http.settings import current_settings

api = APIBlueprint("browser_sessions", __name__, url_prefix="/session", abp_tags=[Tag(name="Browser sessions")])

TRANSFER_SECONDS = 120
EXPIRED = "This link has expired. Create a new one on your other device."
EXAMPLE_FRAGMENT = "x3h0rUWYqLzXb0tMZ7mJQ3kq1v2c4d5e6f7g8h9i0j1"


class BrowserSessionResponse(ResponseModel):
    """The session of a browser and its player."""

    player_id: Id
    username: str
    guest: bool = Field(description="True for a guest: a player without a username and a password of their own")
    expires_at: Timestamp


class TransferResponse(ResponseModel):
    """A link that continues the session on another device, once. The secret is in its fragment."""

    transfer_url: str = Field(
        description="Path of the link, with the secret", examples=[f"/continue#{EXAMPLE_FRAGMENT}"]
    )
    qr_svg: str = Field(
        description="QR code of the link below PUBLIC_URL, as SVG",
        examples=['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 33 33">…</svg>'],
    )
    expires_in: int


class TransferBody(Body):
    """The secret of a transfer: the fragment of its link."""

    secret: Annotated[
        str,
        StringConstraints(min_length=43, max_length=43, pattern="^[A-Za-z0-9_-]+$"),
        Field(description="What follows the # of the link", examples=[EXAMPLE_FRAGMENT]),
    ]


class TransferPreviewResponse(ResponseModel):
    """The player of a transfer."""

    username: str


@api.post("", responses={201: BrowserSessionResponse, 401: None, 403: None})
@browser_only
@public
@max_body_bytes(MAX_BODY_BYTES)
@serialize_requests
def sign_in(body: LoginBody) -> Response:
    """Start a session of a browser

    Starts a session and sets its cookie. 401 if the username or the password is wrong. The response and its time are
    the same for an unknown username.
    """
    return _started(accounts.start_password_session(body.username, body.password), 201)


@api.post("/register", responses={201: BrowserSessionResponse, 403: None, 409: None})
@browser_only
@public
@documents_idempotency_key
@max_body_bytes(MAX_BODY_BYTES)
@serialize_requests
def register(body: RegisterBody) -> Response:
    """Register a player in a browser

    Creates a player and a session, and sets its cookie. 409 if the username is taken. A retry with the same
    Idempotency-Key signs in to the account that the first request created.
    """
    return _started(accounts.start_registered_session(body), 201)


@api.post("/guest", responses={201: BrowserSessionResponse, 403: None, 409: None})
@browser_only
@public
@documents_uuid_key
def create_guest() -> Response:
    """Create a guest in a browser

    Creates a player without a password, starts a session and sets its cookie. A retry with the same Idempotency-Key
    (a random UUID) continues as the same guest. 409 once the guest has an account.
    """
    return _started(accounts.start_guest_session(), 201)


@api.post("/upgrade", responses={200: BrowserSessionResponse, 403: None, 409: None})
@browser_only
@requires_login
@max_body_bytes(MAX_BODY_BYTES)
@serialize_requests
def upgrade(body: RegisterBody) -> Response:
    """Upgrade a guest in a browser

    The scans, rewards and quests of the player remain. All other sessions end. 409 if the username is taken, or the
    player has an account.
    """
    return _started(accounts.upgrade_guest(body), 200)


@api.get("", responses={200: BrowserSessionResponse, 403: None})
@browser_only
@requires_login
def get_session() -> Response:
    """Get the session of a browser

    Returns the player of the session cookie. 401 without an active session.
    """
    player_id, session_id = current_caller().session
    with db.connection() as conn:
        account = store.get_account(conn, player_id)
        expires_at = sessions.get_expiry(conn, session_id)
    if account is None or expires_at is None:
        raise CredentialsRevoked
    return json_response(_body(player_id, account.username, expires_at, is_guest=account.is_guest), 200)


@api.delete("", responses={204: None, 403: None})
@browser_only
@public
def sign_out() -> Response:
    """Revoke the session of a browser

    Ends the session of the cookie and clears the cookie. 204 also if the session has already ended.
    """
    caller = session_caller()
    if caller is not None:
        player_id, session_id = caller.session
        with db.connection() as conn:
            sessions.revoke_session(conn, session_id, "logout")
        publish_access_change(player_id)
    response = Response(status=204)
    response.headers["Clear-Site-Data"] = '"cache"'
    clear_session_cookie(response)
    return response


@api.post("/transfers", responses={201: TransferResponse, 403: None})
@browser_only
@requires_login
def create_transfer() -> tuple[dict[str, Any], int]:
    """Create a link that continues the session on another device

    Returns a link and its QR code. The link starts a session of the same player on another device, once, within two
    minutes, while this session is active.
    """
    player_id, session_id = current_caller().session
    secret = secrets.token_urlsafe(32)
    stored = json.dumps({"player_id": str(player_id), "session_id": str(session_id)})
    client().set(_key(secret), stored, ex=TRANSFER_SECONDS)
    base = current_settings().public_url or request.host_url.rstrip("/")
    path = f"/continue#{secret}"
    return TransferResponse(
        transfer_url=path, qr_svg=render_plain_svg(base + path), expires_in=TRANSFER_SECONDS
    ).model_dump(mode="json"), 201


@api.post("/transfers/preview", responses={200: TransferPreviewResponse, 403: None, 410: None})
@browser_only
@public
def preview_transfer(body: TransferBody) -> dict[str, Any]:
    """Get the player of a transfer

    Does not use the transfer. 410 if it was used or has expired.
    """
    player_id, session_id = _transfer(client().get(_key(body.secret)))
    with db.connection() as conn:
        return {"username": _active(conn, store.get_account(conn, player_id), session_id, player_id).username}


@api.post("/transfers/accept", responses={201: BrowserSessionResponse, 403: None, 410: None})
@browser_only
@public
def accept_transfer(body: TransferBody) -> Response:
    """Start a session by a transfer

    Starts a session of the transfer's player and sets its cookie. Each transfer can be used once. 410 if it was used or
    has expired.
    """
    # GETDEL: of two devices that send the secret at once, one finds it.
    player_id, first_session_id = _transfer(client().getdel(_key(body.secret)))
    session_id = uuid7()
    with db.transaction() as conn:
        # A concurrent password change, upgrade or erasure locks the player too. It either revokes the new session, or
        # has ended the first one before.
        account = _active(conn, store.lock_account(conn, player_id), first_session_id, player_id)
        sessions.create_session(
            conn, session_id, player_id, ttl=accounts.session_ttl(), device=accounts.current_device()
        )
    return _started(StartedSession(player_id, account.username, session_id, is_guest=account.is_guest), 201)


def _transfer(stored: Any) -> tuple[UUID, UUID]:
    """Return the ids of the player and the session of a stored transfer. Raise Gone if it is not stored."""
    if stored is None:
        raise Gone(EXPIRED)
    ids = json.loads(stored)
    return UUID(ids["player_id"]), UUID(ids["session_id"])


def _active(conn: Conn, account: Account | None, session_id: UUID, player_id: UUID) -> Account:
    """Return the account. Raise Gone if it was erased, or if the session of the transfer has ended."""
    if account is None or not sessions.is_session_active(conn, session_id, player_id):
        raise Gone(EXPIRED)
    return account


def _key(secret: str) -> str:
    return key("transfer", sha256(secret.encode()).hexdigest())


def _started(session: StartedSession, status: int) -> Response:
    response = json_response({}, status)
    expires = set_session_cookie(response, session.player_id, session.id)
    expires_at = datetime.fromtimestamp(expires, UTC)
    body = _body(session.player_id, session.username, expires_at, is_guest=session.is_guest)
    response.set_data(json_response(body, status).get_data())
    return response


def _body(player_id: UUID, username: str, expires_at: datetime, *, is_guest: bool) -> dict[str, Any]:
    return BrowserSessionResponse(
        player_id=player_id, username=username, guest=is_guest, expires_at=expires_at
    ).model_dump(mode="json")
