"""Live events over WebSockets: of a player, and of an organization for its staff.

`open_subscription` decides before the upgrade: it checks credentials, origin, handshake and the socket limits, and
takes the position after which events are sent. Then `stream` sends what the subscription receives.
"""

import secrets
import threading
import time
from hashlib import sha256
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from flask import Flask, Response, current_app, g, request
from flask_openapi import APIBlueprint, Tag
from flask_sock import Sock
from pydantic import Field
from simple_websocket import Server
from werkzeug.exceptions import BadRequest
from werkzeug.routing import BaseConverter

from shared.accounts import sessions
from shared.errors import (
    CredentialsInvalid,
    CredentialsMissing,
    CredentialsRevoked,
    Forbidden,
    NotFound,
    OrganizationClosed,
    TooManyWebSockets,
    Unauthenticated,
)
from shared.infra import db, event_log
from shared.infra.redis import client, key
from web.http.auth import (
    authenticate,
    authorize,
    current_caller,
    path_ids,
    requirement_of,
    requires_login,
    requires_websocket_access,
)
from web.http.credentials import Caller
from web.http.origins import own_origins
from web.http.rate_limits import normalize_address
from web.http.request_context import check_query, takes_query
from web.http.request_metrics import end_measurement
from web.http.responses import json_response
from web.http.schemas import ResponseModel
from web.http.settings import current_settings
from web.realtime.event_stream import PING_SECONDS, stream
from web.realtime.fanout import Subscription, current_fanout
from web.realtime.websocket_slots import WebSocketSlots

RECHECK_SECONDS = 1.0
"""The longest that a socket stays open after its session or role has ended, if Redis lost the message about it."""
MAX_MESSAGE_BYTES = 4_096
TICKET_SECONDS = 30
SLOTS = "waymark_websocket_slots"
LISTENERS = "waymark_websocket_listeners"

api = APIBlueprint("websockets", __name__, abp_tags=[Tag(name="Live events")])
sock = Sock()


class NotTicketConverter(BaseConverter):
    """Any path segment except `ticket`, which is another route."""

    regex = r"(?!ticket$)[^/]+"


class TicketResponse(ResponseModel):
    """A ticket for one WebSocket."""

    ticket: str = Field(
        description="Pass it as `?ticket=` to open a socket", examples=["x3h0rUWYqLzXb0tMZ7mJQ3kq1v2c4d5e6f7g8h9i0j1"]
    )
    expires_in: int = Field(description="Seconds", examples=[30])


@api.post("/ws/ticket", responses={201: TicketResponse})
@requires_login
def create_ticket() -> Response:
    """Create a WebSocket ticket

    For browsers, which cannot send an Authorization header with an upgrade. A ticket opens one socket, within 30
    seconds. An `Idempotency-Key` has no effect here: a retry returns a new ticket, because the first may be used.
    """
    ticket = secrets.token_urlsafe(32)
    player_id, session_id = current_caller().session
    client().set(_ticket_key(ticket), f"{player_id} {session_id}", ex=TICKET_SECONDS)
    return json_response({"ticket": ticket, "expires_in": TICKET_SECONDS}, 201)


@sock.route("/ws/<but_ticket:player_id>")  # type: ignore[untyped-decorator]
@takes_query("ticket", "since")
@requires_websocket_access
def player_events(ws: Server, player_id: str) -> None:
    """Send the events of the player."""
    _stream(ws)


@sock.route("/ws/organizations/<org_id>")  # type: ignore[untyped-decorator]
@takes_query("ticket", "since")
@requires_websocket_access
def organization_events(ws: Server, org_id: str) -> None:
    """Send the events of the organization's codes, to its staff."""
    _stream(ws)


def _stream(ws: Server) -> None:
    stream(ws, g.subscription, g.listener, current_fanout(), send_reset=g.pop("send_reset", False))


def init_app(app: Flask) -> None:
    """Register the WebSocket routes."""
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": PING_SECONDS, "max_message_size": MAX_MESSAGE_BYTES}
    app.extensions[SLOTS] = WebSocketSlots()
    app.extensions[LISTENERS] = WeakValueDictionary()
    app.url_map.converters["but_ticket"] = NotTicketConverter
    app.before_request(open_subscription)
    app.teardown_request(close_subscription)
    sock.init_app(app)


def open_subscription() -> None:
    """Decide, before the upgrade, whether this socket is allowed, and subscribe it."""
    if (
        request.endpoint is None
        or request.method == "OPTIONS"
        or requirement_of(current_app.view_functions[request.endpoint]).kind != "socket"
    ):
        return
    caller = _authenticate()
    ids = path_ids()
    g.listener = Listener.shared(caller, ids.get("org_id"))
    g.listener.check(ids.get("player_id"))
    check_query(current_app.view_functions[request.endpoint])
    _check_origin()
    _check_handshake()
    fanout = current_fanout()
    if fanout.is_closing:
        raise TooManyWebSockets
    slots: WebSocketSlots = current_app.extensions[SLOTS]
    address = normalize_address(request.remote_addr)
    g.release_slot = slots.acquire(caller.session[0], address, current_settings())
    g.subscription = Subscription(
        "org" if "org_id" in ids else "player", ids.get("org_id") or caller.session[0], caller.session[0]
    )
    fanout.add(g.subscription)
    end_measurement()
    # The library would accept compression, which takes 300 KB of memory per socket.
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    _start(g.subscription)


def close_subscription(_error: BaseException | None) -> None:
    """End the subscription of this request and release its slot, if it has them."""
    subscription = g.pop("subscription", None)
    if subscription is not None:
        current_fanout().remove(subscription)
    release_slot = g.pop("release_slot", None)
    if release_slot is not None:
        release_slot()


class Listener:
    """A session at the other end of one or more sockets. They end with the session, or the player's role."""

    def __init__(self, caller: Caller, org_id: UUID | None) -> None:
        self._session, self._org_id = caller.session, org_id
        self._checked_at = 0.0
        self._lock = threading.Lock()

    @classmethod
    def shared(cls, caller: Caller, org_id: UUID | None) -> "Listener":
        """Return the listener of all sockets of this session, so that one check per second is enough for them."""
        listeners: WeakValueDictionary[Any, Listener] = current_app.extensions[LISTENERS]
        return listeners.setdefault((*caller.session, org_id), cls(caller, org_id))

    def check(self, player_id: UUID | None = None) -> None:
        """Raise Unauthenticated, Forbidden or NotFound if the caller has no access, or lost it."""
        started_at = time.monotonic()
        listener, session_id = self._session
        with db.connection() as conn:
            if not sessions.is_session_active(conn, session_id, listener):
                raise CredentialsRevoked
        if self._org_id is not None:
            authorize(listener, self._org_id, "analyst")
        elif player_id not in (None, listener):
            raise Forbidden
        self._checked_at = started_at

    def may_listen(self, *, needs_recheck: bool) -> bool:
        """Return whether the caller still has access. Without `needs_recheck`, reuse a result for a second."""
        if needs_recheck:
            return self._has_access()
        if self._is_fresh():
            return True
        # An event wakes all sockets at once. The others wait for the one that checks.
        with self._lock:
            return self._is_fresh() or self._has_access()

    def _is_fresh(self) -> bool:
        return time.monotonic() - self._checked_at < RECHECK_SECONDS

    def _has_access(self) -> bool:
        try:
            self.check()
        except (Unauthenticated, Forbidden, NotFound, OrganizationClosed):
            return False
        return True


def _authenticate() -> Caller:
    """Return the caller of the Authorization header, or of a ticket, and delete the ticket. Raise Unauthenticated."""
    ticket = request.args.get("ticket")
    if "Authorization" in request.headers:
        return authenticate()
    if ticket is None:
        # A session cookie opens no socket: other sites can make a browser send it.
        raise CredentialsMissing
    stored = client().getdel(_ticket_key(ticket))
    if not isinstance(stored, bytes):
        raise CredentialsInvalid("This ticket was used, has expired or is unknown. Create one with POST /ws/ticket.")
    player_id, session_id = map(UUID, stored.decode().split())
    return Caller(player_id, session_id)


def _ticket_key(ticket: str) -> str:
    """Return the Redis key of a ticket. It holds a digest, so that Redis never has a usable ticket."""
    return key("websocket_tickets", sha256(ticket.encode("utf-8", "replace")).hexdigest())


def _check_origin() -> None:
    """Raise Forbidden if a browser page of another origin opens the socket. Other clients send no Origin."""
    origin = request.headers.get("Origin")
    if origin is None:
        return
    if origin not in own_origins() and origin not in current_settings().allowed_origins:
        raise Forbidden("This origin is not allowed to open sockets.")


def _check_handshake() -> None:
    """Raise BadRequest unless this is a handshake of RFC 6455, 4.2.1. The library has no response for that."""
    headers = request.headers
    if "Sec-WebSocket-Key" not in headers or headers.get("Sec-WebSocket-Version") != "13":
        raise BadRequest("This is not a WebSocket handshake of version 13.")


def _start(subscription: Subscription) -> None:
    """Start now, or after the event of `?since=`. If the log does not have all that followed it, send `reset` first."""
    # The subscription's queue already receives events, so none is lost meanwhile.
    since = request.args.get("since")
    position = event_log.parse_position(since) if since is not None else None
    with db.connection() as conn:
        if position is not None and event_log.can_resume(conn, position):
            subscription.position, subscription.must_replay = position, True
        else:
            subscription.position = event_log.last_position(conn)
            g.send_reset = since is not None
