"""Live events over WebSockets: a player's own, and an organization's for its staff.

Everything is decided before the upgrade, in `before_request`: credentials, origin, a place among the sockets, and the
snapshot from which on everything is news. Then the socket's thread sends what its feed gives it.
"""

import secrets
import threading
import time
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

import psycopg
import psycopg_pool
from flask import Flask, Response, current_app, g, request
from flask_openapi import APIBlueprint, Tag
from flask_sock import Sock
from simple_websocket import Server
from werkzeug.exceptions import BadRequest
from werkzeug.routing import BaseConverter

from shared.accounts import store as accounts
from shared.errors import Forbidden, NotFound, TooManyWebSockets, Unauthenticated
from shared.infra import db, event_log
from shared.infra.concurrency import release_permit
from shared.infra.event_log import LogPosition
from shared.infra.pubsub_messages import to_json, to_message
from shared.infra.redis import client, key
from shared.settings import as_origin, settings
from web.http.auth import (
    Caller,
    authenticate,
    authorize,
    current_caller,
    path_ids,
    requirement_of,
    requires_login,
    requires_websocket_access,
)
from web.http.idempotency import idempotent
from web.http.responses import json_response
from web.http.schemas import ResponseModel
from web.realtime.fanout import Fanout, Subscription
from web.realtime.verdict_waiters import VerdictWaiters
from web.realtime.websocket_io import configure, send

PING_SECONDS = 25
RECHECK_SECONDS = 1.0  # how long a login or role may still be told of events whose end nobody was told of
MAX_MESSAGE_BYTES = 4_096
MAX_CLIENT_MESSAGES = 100  # between pings: nothing is expected from a client, a chatty one is sent away
REPLAY_PAGE = 500
TICKET_SECONDS = 30

GOING_AWAY, POLICY_VIOLATION, TRY_AGAIN_LATER = 1001, 1008, 1013

api = APIBlueprint("websockets", __name__, abp_tags=[Tag(name="Live events")])
sock = Sock()
fanout = Fanout(VerdictWaiters())
places = threading.BoundedSemaphore(max(1, settings().websocket_limit))


class NotTicketConverter(BaseConverter):
    """Any segment but `ticket`, which is a resource of its own."""

    regex = r"(?!ticket$)[^/]+"


class TicketResponse(ResponseModel):
    ticket: str
    expires_in: int


@api.post("/ws/ticket", responses={201: TicketResponse})
@requires_login
@idempotent
def create_ticket() -> Response:
    """A ticket that opens one socket within 30 seconds, for browsers, which cannot send a header with an upgrade."""
    ticket = secrets.token_urlsafe(32)
    player_id, family_id = current_caller().login
    client().set(_ticket_key(ticket), f"{player_id} {family_id}", ex=TICKET_SECONDS)
    return json_response({"ticket": ticket, "expires_in": TICKET_SECONDS}, 201)


@sock.route("/ws/<but_ticket:player_id>")  # type: ignore[untyped-decorator]
@requires_websocket_access
def player_events(ws: Server, player_id: str) -> None:
    """The player's own events."""
    stream(ws, g.subscription)


@sock.route("/ws/organizations/<org_id>")  # type: ignore[untyped-decorator]
@requires_websocket_access
def organization_events(ws: Server, org_id: str) -> None:
    """Events of the organization's codes, for its staff."""
    stream(ws, g.subscription)


def init_app(app: Flask) -> None:
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": PING_SECONDS, "max_message_size": MAX_MESSAGE_BYTES}
    app.url_map.converters["but_ticket"] = NotTicketConverter
    app.before_request(open_subscription)
    app.teardown_request(close_subscription)
    sock.init_app(app)


def open_subscription() -> None:
    """Before the upgrade: decide whether this socket may be, and from where on it is told."""
    if (
        request.endpoint is None
        or request.method == "OPTIONS"
        or requirement_of(current_app.view_functions[request.endpoint]).kind != "socket"
    ):
        return
    found = _authenticate()
    ids = path_ids()
    g.listener = Listener(found, ids.get("org_id"))
    g.listener.check(ids.get("player_id"))
    _check_origin()
    _check_handshake()
    if fanout.closing or not settings().websocket_limit or not places.acquire(blocking=False):
        raise TooManyWebSockets
    g.holds_slot = True
    g.subscription = Subscription(
        "org" if "org_id" in ids else "player", ids.get("org_id") or found.login[0], found.login[0]
    )
    fanout.add(g.subscription)
    _begin(g.subscription)


def close_subscription(_error: BaseException | None) -> None:
    feed = g.pop("subscription", None)
    if feed is not None:
        fanout.remove(feed)
    if g.pop("holds_slot", False):
        places.release()


@dataclass
class Listener:
    """Who listens at a socket. A login that ends or a role that is lost ends the socket, too."""

    caller: Caller
    org_id: UUID | None
    checked_at: float = 0.0

    def check(self, player_id: UUID | None = None) -> None:
        """Raises Unauthenticated, Forbidden or NotFound where the caller may not listen, or may no more."""
        self.checked_at = time.monotonic()
        listener, family_id = self.caller.login
        with db.connection() as conn:
            if not accounts.is_session_active(conn, family_id, listener):
                raise Unauthenticated
        if self.org_id is not None:
            authorize(listener, self.org_id, "analyst")
        elif player_id not in (None, listener):
            raise Forbidden

    def may_listen(self, *, doubted: bool) -> bool:
        """Asked before anything is sent, and now and then; the last answer holds for a second, unless in doubt."""
        if not doubted and time.monotonic() - self.checked_at < RECHECK_SECONDS:
            return True
        try:
            self.check()
        except (Unauthenticated, Forbidden, NotFound):
            return False
        return True


def _authenticate() -> Caller:
    """By the Authorization header, or by a ticket, which is gone once it was seen."""
    ticket = request.args.get("ticket")
    if ticket is None or "Authorization" in request.headers:
        return authenticate()
    stored = client().getdel(_ticket_key(ticket))
    if not isinstance(stored, bytes):
        raise Unauthenticated
    player_id, family_id = map(UUID, stored.decode().split())
    return Caller(player_id, family_id)


def _ticket_key(ticket: str) -> str:
    return key("websocket_tickets", sha256(ticket.encode("utf-8", "replace")).hexdigest())


def _check_origin() -> None:
    """Browsers say which page opens a socket: it must be ours or on the allow-list. Other clients say nothing."""
    origin = request.headers.get("Origin")
    if origin is None:
        return
    ours = {as_origin(request.host_url), as_origin(settings().public_base_url)}
    if origin not in ours and origin not in settings().allowed_origins:
        raise Forbidden("This origin may not open sockets here.")


def _check_handshake() -> None:
    """RFC 6455, 4.2.1: without these there is no upgrade, and the library has no answer of its own."""
    given = request.headers.get("Sec-WebSocket-Key"), request.headers.get("Sec-WebSocket-Version")
    if given[0] is None or given[1] != "13":
        raise BadRequest("This is no WebSocket handshake, version 13.")


def _begin(feed: Subscription) -> None:
    """Begin from now on, or from the event that `?since=` names; `reset` comes first where that is too long ago."""
    since = request.args.get("since")
    with db.connection() as conn:
        now = event_log.current_snapshot(conn)
        horizon = event_log.read_mark(conn, "retention_horizon") if since is not None else None
    position = LogPosition.parse(since) if since is not None else None
    if position and (position.xid > now.xmax or (horizon is not None and position < horizon)):
        position = None
    g.send_reset = since is not None and position is None
    feed.start_at(now, position)


def stream(ws: Server, feed: Subscription) -> None:
    """Send what the feed gives, until the client, the process or the feed itself ends it."""
    release_permit()
    configure(ws)
    listener: Listener = g.listener
    if g.pop("send_reset", False):
        send(ws, to_json({"event": "reset"}))
    feed.attach(ws.event)
    heard, next_look = 0, time.monotonic() + PING_SECONDS
    while ws.connected:
        ws.event.wait(max(0.0, next_look - time.monotonic()))
        ws.event.clear()
        if time.monotonic() >= next_look:
            heard, next_look = 0, time.monotonic() + PING_SECONDS
        while ws.connected and ws.receive(timeout=0) is not None:
            heard += 1
        if fanout.closing:
            ws.close(GOING_AWAY, "This process is going away; resume with since.")
            return
        if heard > MAX_CLIENT_MESSAGES:
            ws.close(POLICY_VIOLATION, "Nothing is expected from the client.")
            return
        try:
            doubted, feed.needs_recheck = feed.needs_recheck, False
            if not listener.may_listen(doubted=doubted):
                ws.close(POLICY_VIOLATION, "You may not listen here any more.")
                return
            if feed.must_replay:
                replay(ws, feed)
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout):
            feed.needs_recheck = feed.needs_recheck or doubted
            ws.event.wait(1.0)  # PostgreSQL is away: what it holds is sent when it is back
            ws.event.set()
            continue
        if feed.must_replay:
            ws.event.set()
            continue
        while not _is_interrupted(feed) and (text := feed.pop()) is not None:
            send(ws, text)
            if feed.overflowed:
                ws.close(TRY_AGAIN_LATER, "Too slow; resume with since.")
                return


def replay(ws: Server, feed: Subscription) -> None:
    """Send a page of what the log holds past the feed's position; `stale` stays while there may be more, so that
    between pages it is asked again who may listen.

    The snapshot is taken before the page: whatever it sees to be settled is in that page or before it, so the feed goes
    on live from there without a gap.
    """
    owner = {f"{feed.stream}_id": feed.owner}
    feed.replaying, feed.must_replay = True, False
    try:
        with db.connection() as conn:
            settled = LogPosition(event_log.current_snapshot(conn).xmin, 0)
            page = event_log.read(conn, feed.position, limit=REPLAY_PAGE, **owner)
        for event in page:
            if _is_interrupted(feed):
                feed.must_replay = True
                return
            if feed.accepts(event.position):
                send(ws, to_json(to_message(event)))
        if len(page) < REPLAY_PAGE:
            feed.position = max(feed.position, settled)
        else:
            feed.must_replay = True
    except BaseException:
        feed.must_replay = True
        raise
    finally:
        feed.replaying = False


def _is_interrupted(feed: Subscription) -> bool:
    """Whether there is something to find out before anything more is sent: a client that reads slowly makes sending
    what there is take as long as it likes."""
    return feed.needs_recheck or fanout.closing
