"""Live events over WebSockets: a player's own, and an organization's for its staff.

Everything is decided before the upgrade, in `before_request`: credentials, origin, a place among the sockets, and the
snapshot from which on everything is news. Then the socket's thread sends what its feed gives it.
"""

import secrets
import socket as sockets
import struct
import threading
from hashlib import sha256
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import psycopg_pool
from flask import Flask, Response, current_app, g, request
from flask_openapi import APIBlueprint, Tag
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from werkzeug.routing import BaseConverter
from wsproto.events import TextMessage
from wsproto.utilities import LocalProtocolError

from shared import db, events
from shared.accounts import store as accounts
from shared.errors import Forbidden, TooManySockets, Unauthenticated
from shared.events import Position
from shared.live import dumps, message
from shared.redis import client, key
from shared.settings import settings
from web.answers import answer
from web.auth import Caller, authenticate, authorize, caller, path_ids, requirement_of, signed_in, socket
from web.fanout import Fanout, Feed
from web.fields import Answer
from web.idempotency import idempotent
from web.waits import Waits

PING_SECONDS = 25
MAX_MESSAGE_BYTES = 4_096
MAX_CLIENT_MESSAGES = 100  # nothing is expected from a client; a chatty one is sent away
SEND_SECONDS = 10  # how long a client may leave its receive buffer full
REPLAY_PAGE = 500
TICKET_SECONDS = 30

GOING_AWAY, POLICY_VIOLATION, TRY_AGAIN_LATER = 1001, 1008, 1013

api = APIBlueprint("live", __name__, abp_tags=[Tag(name="Live events")])
sock = Sock()
fanout = Fanout(Waits())
places = threading.BoundedSemaphore(max(1, settings().max_sockets))


class ButTicket(BaseConverter):
    """Any segment but `ticket`, which is a resource of its own."""

    regex = r"(?!ticket$)[^/]+"


class TicketAnswer(Answer):
    ticket: str
    expires_in: int


@api.post("/ws/ticket", responses={201: TicketAnswer})
@signed_in
@idempotent
def make_ticket() -> Response:
    """A ticket that opens one socket within 30 seconds, for browsers, which cannot send a header with an upgrade."""
    ticket = secrets.token_urlsafe(32)
    client().set(_ticket_key(ticket), f"{caller().player_id} {caller().family_id}", ex=TICKET_SECONDS)
    return answer({"ticket": ticket, "expires_in": TICKET_SECONDS}, 201)


@sock.route("/ws/<but_ticket:player_id>")  # type: ignore[untyped-decorator]
@socket
def follow_player(ws: Server, player_id: str) -> None:
    """The player's own events."""
    stream(ws, g.feed)


@sock.route("/ws/organizations/<org_id>")  # type: ignore[untyped-decorator]
@socket
def follow_organization(ws: Server, org_id: str) -> None:
    """Events of the organization's codes, for its staff."""
    stream(ws, g.feed)


def init_app(app: Flask) -> None:
    app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": PING_SECONDS, "max_message_size": MAX_MESSAGE_BYTES}
    app.url_map.converters["but_ticket"] = ButTicket
    app.before_request(open_feed)
    app.teardown_request(close_feed)
    sock.init_app(app)


def open_feed() -> None:
    """Before the upgrade: decide whether this socket may be, and from where on it is told."""
    if (
        request.endpoint is None
        or request.method == "OPTIONS"
        or requirement_of(current_app.view_functions[request.endpoint]).kind != "socket"
    ):
        return
    found = _authenticate()
    ids = path_ids()
    if "org_id" in ids:
        authorize(found.player_id, ids["org_id"], "analyst")
    elif ids["player_id"] != found.player_id:
        raise Forbidden
    _check_origin()
    if fanout.closing or not settings().max_sockets or not places.acquire(blocking=False):
        raise TooManySockets
    g.holds_place = True
    g.feed = Feed("org" if "org_id" in ids else "player", ids.get("org_id") or found.player_id)
    fanout.add(g.feed)
    _begin(g.feed)


def close_feed(_error: BaseException | None) -> None:
    feed = g.pop("feed", None)
    if feed is not None:
        fanout.remove(feed)
    if g.pop("holds_place", False):
        places.release()


def _authenticate() -> Caller:
    """By the Authorization header, or by a ticket, which is gone once it was seen."""
    ticket = request.args.get("ticket")
    if ticket is None or "Authorization" in request.headers:
        return authenticate()
    stored = client().getdel(_ticket_key(ticket))
    if not isinstance(stored, bytes):
        raise Unauthenticated
    player_id, family_id = map(UUID, stored.decode().split())
    with db.connection() as conn:
        if not accounts.is_family_alive(conn, family_id, player_id):
            raise Unauthenticated
    return Caller(player_id, family_id)


def _ticket_key(ticket: str) -> str:
    return key("ticket", sha256(ticket.encode("utf-8", "replace")).hexdigest())


def _check_origin() -> None:
    """Browsers say which page opens a socket: it must be ours or on the allow-list. Other clients say nothing."""
    origin = request.headers.get("Origin")
    if origin is None:
        return
    ours = {request.host_url.rstrip("/"), "{0.scheme}://{0.netloc}".format(urlsplit(settings().printed_url))}
    if origin not in ours and origin not in settings().allowed_origins:
        raise Forbidden("This origin may not open sockets here.")


def _begin(feed: Feed) -> None:
    """Begin from now on, or from the event that `?since=` names; `reset` comes first where that is too long ago."""
    since = request.args.get("since")
    with db.connection() as conn:
        now = events.snapshot(conn)
        horizon = events.read_mark(conn, "horizon") if since is not None else None
    position = Position.parse(since) if since is not None else None
    if position and (position.xid > now.xmax or (horizon is not None and position < horizon)):
        position = None
    g.reset = since is not None and position is None
    feed.begin(now, position)


def stream(ws: Server, feed: Feed) -> None:
    """Send what the feed gives, until the client, the process or the feed itself ends it."""
    _limit_sending(ws)
    if g.pop("reset", False):
        send(ws, dumps({"event": "reset"}))
    feed.attach(ws.event)
    heard = 0
    while ws.connected:
        ws.event.wait()
        ws.event.clear()
        while ws.connected and ws.receive(timeout=0) is not None:
            heard += 1
        if fanout.closing:
            ws.close(GOING_AWAY, "This process is going away; resume with since.")
            return
        if heard > MAX_CLIENT_MESSAGES:
            ws.close(POLICY_VIOLATION, "Nothing is expected from the client.")
            return
        if feed.stale and not replay(ws, feed):
            ws.event.wait(1.0)  # PostgreSQL is away: what it holds is sent when it is back
            ws.event.set()
            continue
        while (text := feed.take()) is not None:
            send(ws, text)
            if feed.overflowed:
                ws.close(TRY_AGAIN_LATER, "Too slow; resume with since.")
                return


def replay(ws: Server, feed: Feed) -> bool:
    """Send what the log holds past the feed's position. False if PostgreSQL does not answer.

    The snapshot is taken before each page: whatever it sees to be settled is in that page or before it, so the feed
    goes on live from there without a gap.
    """
    owner = {f"{feed.stream}_id": feed.owner}
    feed.replaying, feed.stale = True, False
    try:
        while True:
            with db.connection() as conn:
                settled = Position(events.snapshot(conn).xmin, 0)
                page = events.read(conn, feed.position, limit=REPLAY_PAGE, **owner)
            for event in page:
                if feed.accepts(event.position):
                    send(ws, dumps(message(event)))
            if len(page) < REPLAY_PAGE:
                feed.position = max(feed.position, settled)
                return True
    except (psycopg.OperationalError, psycopg_pool.PoolTimeout):
        feed.stale = True
        return False
    finally:
        feed.replaying = False


def send(ws: Server, text: str) -> None:
    """Send one message whole. (The library's own `send` may leave the end of it behind when the buffer is full.)
    Raises ConnectionClosed when the client has gone, or has not read for too long."""
    try:
        ws.sock.sendall(ws.ws.send(TextMessage(data=text)))
    except (OSError, LocalProtocolError) as error:
        ws.connected = False
        raise ConnectionClosed from error


def _limit_sending(ws: Server) -> None:
    """Have a send fail when the client does not read for a while; receiving may take as long as it likes."""
    ws.sock.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDTIMEO, struct.pack("ll", SEND_SECONDS, 0))
