"""Send the events of a subscription over its WebSocket: missed ones from the event log, then live ones."""

import time
from functools import partial
from typing import Protocol

import psycopg
import psycopg_pool
from simple_websocket import Server

from shared.infra import db, event_log
from shared.infra.metrics import Counter
from shared.infra.pubsub_messages import to_json, to_message
from web.realtime.fanout import RESET, Fanout, Subscription
from web.realtime.websocket_io import configure, disconnect, send

PING_SECONDS = 25
MAX_CLIENT_MESSAGES = 100
"""Messages of a client between two pings. None is expected, and a socket that exceeds the limit is closed."""
REPLAY_PAGE = 500

SENT = Counter(
    "waymark_websocket_messages_sent_total", "Live events sent over WebSockets, by stream: player or org.", ("stream",)
)
REPLAYED = Counter(
    "waymark_websocket_replayed_events_total", "Events read from the log for WebSockets that missed them.", ("stream",)
)
CLOSED = Counter(
    "waymark_websockets_closed_total",
    "Closed WebSockets, by reason: going_away, policy, slow, or client.",
    ("reason",),
)

GOING_AWAY, POLICY_VIOLATION, TRY_AGAIN_LATER = 1001, 1008, 1013


class Access(Protocol):
    """The access of the player at the other end of a socket."""

    def may_listen(self, *, needs_recheck: bool) -> bool: ...


def stream(ws: Server, subscription: Subscription, listener: Access, fanout: Fanout, *, send_reset: bool) -> None:
    """Send events until the client or the process closes the socket, access is revoked, or the queue overflows."""
    reason = "client"
    try:
        reason = _stream(ws, subscription, listener, fanout, send_reset=send_reset)
    finally:
        CLOSED.labels(reason).inc()


def _stream(ws: Server, subscription: Subscription, listener: Access, fanout: Fanout, *, send_reset: bool) -> str:
    """Do the same, and return the reason for which the socket was closed."""
    configure(ws)
    sent = SENT.labels(subscription.stream)
    if send_reset:
        send(ws, RESET)
    subscription.attach(ws.event, partial(disconnect, ws))
    received, next_ping = 0, time.monotonic() + PING_SECONDS
    while ws.connected:
        ws.event.wait(max(0.0, next_ping - time.monotonic()))
        ws.event.clear()
        if time.monotonic() >= next_ping:
            received, next_ping = 0, time.monotonic() + PING_SECONDS
        # Not while the buffer is empty: `receive` then waits for the event loop, even with a timeout of 0.
        while ws.connected and ws.input_buffer:
            ws.receive(timeout=0)
            received += 1
        if fanout.is_closing:
            ws.close(GOING_AWAY, "This process is stopping. Reconnect with since.")
            return "going_away"
        if received > MAX_CLIENT_MESSAGES:
            ws.close(POLICY_VIOLATION, "Too many messages from the client.")
            return "policy"
        try:
            needs_recheck, subscription.needs_recheck = subscription.needs_recheck, False
            if not listener.may_listen(needs_recheck=needs_recheck):
                ws.close(POLICY_VIOLATION, "Access was revoked.")
                return "policy"
            if subscription.must_replay:
                replay(ws, subscription, fanout)
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout):
            # PostgreSQL is unavailable. Its events are sent once it is available again.
            subscription.needs_recheck = subscription.needs_recheck or needs_recheck
            ws.event.wait(1.0)
            ws.event.set()
            continue
        if subscription.must_replay:
            ws.event.set()
            continue
        while not _is_interrupted(subscription, fanout) and (text := subscription.pop()) is not None:
            send(ws, text)
            sent.inc()
            if subscription.has_overflowed:
                ws.close(TRY_AGAIN_LATER, "The client reads too slowly. Reconnect with since.")
                return "slow"
    return "client"


def replay(ws: Server, subscription: Subscription, fanout: Fanout) -> None:
    """Send one page of the log after the subscription's position.

    `must_replay` stays true while there may be more, so that access is checked between pages.
    """
    # The end is read before the page: every event up to it is in that page or before it, so live events continue from
    # there without a gap.
    owner = {f"{subscription.stream}_id": subscription.owner}
    subscription.is_replaying, subscription.must_replay = True, False
    try:
        with db.connection() as conn:
            end = event_log.last_position(conn)
            page = event_log.read(conn, subscription.position, limit=REPLAY_PAGE, **owner)
        if subscription.crosses_gap(end):
            # The client loads its state again, so it needs none of this page.
            send(ws, RESET)
            subscription.position = end
            return
        for event in page:
            if _is_interrupted(subscription, fanout):
                subscription.must_replay = True
                return
            if subscription.accepts(event.position):
                send(ws, to_json(to_message(event)))
                REPLAYED.labels(subscription.stream).inc()
        if len(page) < REPLAY_PAGE:
            subscription.position = max(subscription.position, end)
        else:
            subscription.must_replay = True
    except BaseException:
        subscription.must_replay = True
        raise
    finally:
        subscription.is_replaying = False


def _is_interrupted(subscription: Subscription, fanout: Fanout) -> bool:
    """Return whether to check access or stop before the next event: one send to a slow client can take seconds."""
    return subscription.needs_recheck or fanout.is_closing
