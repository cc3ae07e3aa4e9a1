"""Sockets end to end: trigger, event log, relay, Redis pub/sub, fan-out, client."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
import websocket
from flask import Flask

from shared.accounts import sessions
from shared.infra import db, event_log
from shared.infra.db import Conn
from shared.infra.event_log import RETENTION_HORIZON
from shared.infra.pubsub_messages import EVENTS_CHANNEL
from shared.infra.redis import client as redis_client
from shared.infra.redis import key
from tests.conftest import Player
from tests.realtime.conftest import Connect, Relay, names, refused, say
from tests.support.app_settings import change_settings
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_code, make_org, number_events, submit_scan
from tests.support.metrics import value_of
from tests.support.polling import eventually
from web.http.auth import authenticate
from web.realtime import event_stream, websocket_io, websockets
from web.realtime import fanout as fanouts
from web.realtime.websocket_slots import WebSocketSlots
from workers.scans import judge_pending


def test_scan_and_verdict_are_delivered(connect: Connect, relay: Relay, player: Player, conn: Conn) -> None:
    org = make_org(conn)
    code = make_code(conn, org, code="spy123", reward_item="spy_gadget")
    conn.execute("INSERT INTO memberships VALUES (%s, %s, 'analyst')", (org, player.id))
    relay()
    opened = value_of("waymark_websockets_open", stream="org")
    sent = value_of("waymark_websocket_messages_sent_total", stream="org")
    sockets = connect(player), connect(player, f"/ws/organizations/{org}")
    assert value_of("waymark_websockets_open", stream="org") == opened + 1
    # A socket is open for hours, and counts as no request in progress.
    assert value_of("waymark_http_requests_in_progress") == 0
    scan_id = str(submit_scan(conn, player.id, code))
    judge_pending()
    for socket in sockets:
        scanned, settled, granted = socket.take(3)
        common = {"player_id": str(player.id), "scan_id": scan_id}
        assert scanned == common | {
            "id": scanned["id"],
            "at": scanned["at"],
            "event": "qr_scan",
            "qr_code": "spy123",
        }
        assert (settled["event"], settled["status"], settled["reward"]) == ("scan_result", "success", "spy_gadget")
        assert (granted["event"], granted["reward"], granted["quantity"]) == ("reward_granted", "spy_gadget", 1)
        assert len({scanned["id"], settled["id"], granted["id"]}) == 3
    eventually(lambda: value_of("waymark_websocket_messages_sent_total", stream="org") == sent + 3)
    sockets[1].drop()
    eventually(lambda: value_of("waymark_websockets_open", stream="org") == opened)


def test_inserted_row_is_delivered(connect: Connect, relay: Relay, player: Player, conn: Conn) -> None:
    code = make_code(conn, code="spy123")
    relay()
    socket = connect(player)
    conn.execute("INSERT INTO player_scans (player_id, qr_code_id) VALUES (%s, %s)", (player.id, code))
    assert (socket.next() | {"id": "", "at": "", "scan_id": ""}) == {
        "id": "",
        "event": "qr_scan",
        "player_id": str(player.id),
        "scan_id": "",
        "qr_code": "spy123",
        "at": "",
    }


def test_event_before_the_upgrade_is_not_delivered(connect: Connect, relay: Relay, player: Player, conn: Conn) -> None:
    """Also if a relay publishes it afterwards, because the one before crashed."""
    say(conn, player, "before")
    number_events()
    socket = connect(player)
    say(conn, player, "after")
    relay()
    assert socket.next()["name"] == "after"


def test_older_transaction_that_commits_last_is_delivered(
    connect: Connect, relay: Relay, player: Player, conn: Conn
) -> None:
    """Ids become visible out of order. A late commit is delivered once, and delays no other event."""
    relay()
    socket = connect(player)
    with db.transaction() as slow:
        say(slow, player, "slow")
        say(conn, player, "quick")
        assert socket.next()["name"] == "quick"
    assert socket.next()["name"] == "slow"
    assert socket.hears_nothing()


def test_resume_replays_missed_events_and_continues_live(
    connect: Connect, relay: Relay, player: Player, conn: Conn
) -> None:
    relay()
    first = connect(player)
    say(conn, player, "one", "two")
    seen = first.take(2)
    first.ws.close()
    say(conn, player, "three", "four")
    resumed = connect(player, query=f"?since={seen[0]['id']}")
    say(conn, player, "five")
    received = resumed.take(4)
    assert names(received) == ["two", "three", "four", "five"]
    assert received[0]["id"] == seen[1]["id"]
    assert resumed.hears_nothing()


def test_resume_under_load_has_no_gap_and_no_duplicate(
    connect: Connect, relay: Relay, player: Player, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sockets without a close frame that reconnect receive every event of several writers once, in order (case W32)."""
    monkeypatch.setattr(event_stream, "REPLAY_PAGE", 7)
    relay()
    total, writers = 300, 3

    def write(writer: int) -> None:
        with db.dedicated_connection() as own:
            for k in range(total // writers):
                say(own, player, f"{writer}-{k}")

    first = connect(player)
    with ThreadPoolExecutor(writers) as pool:
        done = [pool.submit(write, writer) for writer in range(writers)]
        seen = first.take(5)
        while len(seen) < total:
            socket = connect(player, query=f"?since={seen[-1]['id']}")
            seen += socket.take(min(20, total - len(seen)))
            socket.drop()
        for future in done:
            future.result()
    assert len({message["id"] for message in seen}) == total
    for writer in range(writers):
        mine = [name for name in names(seen) if name.startswith(f"{writer}-")]
        assert mine == [f"{writer}-{k}" for k in range(total // writers)]


def test_position_of_another_player_repeats_no_event(connect: Connect, relay: Relay, register: Any, conn: Conn) -> None:
    """Positions are those of one log. Only the player's own events after it are sent."""
    mine, other = register(), register()
    relay()
    first, second = connect(mine), connect(other)
    say(conn, mine, "one")
    say(conn, other, "another's")
    say(conn, mine, "two")
    assert names(first.take(2)) == ["one", "two"]
    resumed = connect(mine, query=f"?since={second.next()['id']}")
    say(conn, mine, "three")
    assert names(resumed.take(2)) == ["two", "three"]


@pytest.mark.parametrize(
    "since", ["", "nonsense", "1-1", "-1", "1", "999999999999", "99999999999999999999", "%00", "٣"]
)
def test_unknown_position_is_a_reset(connect: Connect, relay: Relay, player: Player, conn: Conn, since: str) -> None:
    event_log.save_position(conn, RETENTION_HORIZON, 2)
    relay()
    socket = connect(player, query=f"?since={since}")
    say(conn, player, "news")
    assert socket.next() == {"event": "reset"}
    assert socket.next()["name"] == "news"


def test_events_are_published_by_the_next_relay(connect: Connect, relay: Relay, player: Player, conn: Conn) -> None:
    """A new relay continues from the stored position."""
    socket = connect(player)
    say(conn, player, "one", "two")
    relay()
    assert names(socket.take(2)) == ["one", "two"]


def test_repeated_events_are_delivered_once(connect: Connect, relay: Relay, player: Player, conn: Conn) -> None:
    """As with two relays at the same time, or a lost position."""
    relay()
    socket = connect(player)
    say(conn, player, "one")
    assert socket.next()["name"] == "one"
    conn.execute("DELETE FROM log_positions WHERE name = 'relay'")
    relay()
    say(conn, player, "two")
    assert socket.next()["name"] == "two"
    assert socket.hears_nothing()


@pytest.mark.parametrize("reconnects", [False, True])
def test_open_socket_gets_a_reset_when_another_server_takes_over(
    connect: Connect, relay: Relay, player: Player, conn: Conn, reconnects: bool
) -> None:
    """As after a failover: events that were sent may be lost."""
    socket = connect(player)
    say(conn, player, "one")
    relay()
    assert socket.next()["name"] == "one"
    conn.execute("UPDATE log_servers SET server = 'the primary that was lost'")
    number_events()
    if reconnects:
        redis_client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        assert socket.next() == {"event": "reset"}
    say(conn, player, "two")
    assert reconnects or socket.next() == {"event": "reset"}
    assert socket.next()["name"] == "two"


def test_subscription_replays_events_lost_by_redis(connect: Connect, player: Player, conn: Conn) -> None:
    """No relay runs here: after the subscriber reconnects, its sockets read the log."""
    socket = connect(player)
    say(conn, player, "missed")
    number_events()
    assert socket.hears_nothing()
    replayed = value_of("waymark_websocket_replayed_events_total", stream="player")
    redis_client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert socket.next()["name"] == "missed"
    eventually(lambda: value_of("waymark_websocket_replayed_events_total", stream="player") == replayed + 1)


def test_players_receive_their_own_events_only(connect: Connect, relay: Relay, register: Any, conn: Conn) -> None:
    mine, other = register(), register()
    relay()
    socket = connect(mine)
    say(conn, other, "other's")
    say(conn, mine, "mine")
    assert socket.next()["name"] == "mine"


# Pings (case W31) --------------------------------------------------------------------------------------------------


@pytest.fixture
def frequent_pings(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ping twenty times a second."""
    monkeypatch.setitem(app.config["SOCK_SERVER_OPTIONS"], "ping_interval", 0.05)


def test_idle_socket_is_pinged_before_proxies_close_it(app: Flask) -> None:
    """nginx closes a silent connection after 60 s, the router of Heroku after 55 s."""
    assert app.config["SOCK_SERVER_OPTIONS"]["ping_interval"] == event_stream.PING_SECONDS < 50


def test_socket_that_answers_pings_stays_open(
    connect: Connect, relay: Relay, player: Player, conn: Conn, frequent_pings: None
) -> None:
    relay()
    socket = connect(player)
    for _ in range(5):
        # The client library answers each ping that it reads.
        opcode, _data = socket.ws.recv_data(control_frame=True)
        assert opcode == websocket.ABNF.OPCODE_PING
    say(conn, player, "news")
    assert socket.next()["name"] == "news"


def test_socket_that_answers_no_ping_is_closed_and_frees_its_slot(
    connect: Connect, app: Flask, player: Player, monkeypatch: pytest.MonkeyPatch, frequent_pings: None
) -> None:
    change_settings(app, monkeypatch, max_websockets_per_client=1)
    monkeypatch.setitem(app.extensions, websockets.SLOTS, WebSocketSlots())
    silent = connect(player)

    assert silent.next_frame() == (websocket.ABNF.OPCODE_PING, b"")
    opcode, data = silent.next_frame()

    assert (opcode, data[:2]) == (websocket.ABNF.OPCODE_CLOSE, event_stream.POLICY_VIOLATION.to_bytes(2))
    eventually(lambda: opens(connect, player))


def test_ping_of_the_client_is_answered(connect: Connect, player: Player) -> None:
    socket = connect(player)
    socket.ws.ping("still there?")
    assert socket.next_frame() == (websocket.ABNF.OPCODE_PONG, b"still there?")


def opens(connect: Connect, player: Player) -> bool:
    """Return whether a socket is allowed."""
    try:
        connect(player)
    except websocket.WebSocketBadStatusException:
        return False
    return True


# Access ------------------------------------------------------------------------------------------------------------


def test_ticket_opens_one_socket(connect: Connect, relay: Relay, client: Any, player: Player, conn: Conn) -> None:
    response = client.post("/ws/ticket", headers=player.headers)
    assert response.status_code == 201
    assert response.json["expires_in"] == 30
    query = f"?ticket={response.json['ticket']}"
    relay()
    socket = connect(path=f"/ws/{player.id}", query=query)
    say(conn, player, "news")
    assert socket.next()["name"] == "news"
    assert refused(connect, path=f"/ws/{player.id}", query=query) == 401


def test_a_retry_with_an_idempotency_key_returns_a_new_ticket(client: Any, player: Player, conn: Conn) -> None:
    headers = player.headers | {"Idempotency-Key": "k1"}
    tickets = [client.post("/ws/ticket", headers=headers).json["ticket"] for _ in range(2)]

    assert len(set(tickets)) == 2
    assert conn.execute("SELECT FROM idempotency_keys").fetchall() == []


def test_redis_stores_only_a_digest_of_a_ticket(client: Any, player: Player) -> None:
    ticket = client.post("/ws/ticket", headers=player.headers).json["ticket"]

    (stored,) = redis_client().keys(key("websocket_tickets", "*"))
    assert ticket not in str((stored, redis_client().get(stored)))
    assert 0 < redis_client().ttl(stored) <= websockets.TICKET_SECONDS


def test_ticket_is_invalid_when_its_session_ends(connect: Connect, client: Any, player: Player) -> None:
    ticket = client.post("/ws/ticket", headers=player.headers).json["ticket"]
    assert client.post("/auth/logout", headers=player.headers).status_code == 204
    assert refused(connect, path=f"/ws/{player.id}", query=f"?ticket={ticket}") == 401


def test_unauthorized_sockets_are_rejected_before_the_upgrade(
    connect: Connect, register: Any, conn: Conn, player: Player
) -> None:
    org, other = make_org(conn), register()
    assert refused(connect, path=f"/ws/{player.id}") == 401
    assert refused(connect, path=f"/ws/{player.id}", query="?ticket=made-up") == 401
    assert refused(connect, path=f"/ws/{player.id}", header={"Authorization": f"Bearer {player.refresh_token}"}) == 401
    assert refused(connect, other, f"/ws/{player.id}") == 403
    assert refused(connect, player, "/ws/not-an-id") == 404
    assert refused(connect, player, f"/ws/organizations/{org}") == 403
    assert refused(connect, player, f"/ws/organizations/{uuid4()}") == 404
    conn.execute("INSERT INTO memberships VALUES (%s, %s, 'member')", (org, player.id))
    assert refused(connect, player, f"/ws/organizations/{org}") == 403


def test_malformed_message_is_logged_and_loses_no_event(
    connect: Connect, relay: Relay, player: Player, conn: Conn
) -> None:
    relay()
    socket = connect(player)
    say(conn, player, "before")
    with patch.object(fanouts, "log") as log:
        redis_client().publish(key(EVENTS_CHANNEL), b"from another version")
        say(conn, player, "after")
        assert names(socket.take(2)) == ["before", "after"]
    assert [call.args for call in log.exception.call_args_list] == [("unhandled_exception",)]
    assert not log.warning.called


def test_defect_in_the_fanout_is_logged_and_loses_no_event(
    connect: Connect, relay: Relay, player: Player, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay()
    socket = connect(player)
    say(conn, player, "before")
    assert socket.next()["name"] == "before"
    with patch.object(fanouts, "log") as log:
        monkeypatch.delattr(fanouts.Subscription, "push")
        say(conn, player, "during")
        eventually(lambda: log.exception.called)
        monkeypatch.undo()
        assert socket.next()["name"] == "during"
    assert {call.args for call in log.exception.call_args_list} == {("unhandled_exception",)}


def test_lost_connection_to_redis_is_not_a_defect(connect: Connect, player: Player) -> None:
    connect(player)
    with patch.object(fanouts, "log") as log:
        redis_client().execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        eventually(lambda: log.warning.called)
    assert log.warning.call_args.args == ("live_events_unavailable",)
    assert not log.exception.called


def test_scheme_of_a_socket_is_case_insensitive(connect: Connect, player: Player) -> None:
    path = f"/ws/{player.id}"

    assert connect(path=path, header={"Authorization": f"bearer {player.access_token}"}).hears_nothing()
    assert refused(connect, path=path, header={"Authorization": f"basic {player.access_token}"}) == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
def test_socket_of_another_origin_is_403(connect: Connect, player: Player, origin: str) -> None:
    assert refused(connect, player, origin=origin) == 403


def test_socket_of_an_allowed_origin_opens(
    connect: Connect, app: Flask, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(app, monkeypatch, allowed_origins=("https://game.example",))
    assert connect(player, origin="https://game.example").hears_nothing()


@pytest.mark.parametrize(
    ("limit", "status", "detail"),
    [
        ("max_websockets_per_client", 429, "2 of 2 WebSockets of your player are open in this process"),
        ("max_websockets_per_address", 429, "2 of 2 WebSockets of your address are open in this process"),
        ("max_websockets", 503, "This process has reached its limit of WebSockets"),
    ],
    ids=["player", "address", "process"],
)
def test_socket_above_a_limit_is_refused_and_http_still_works(
    connect: Connect,
    client: Any,
    player: Player,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    status: int,
    detail: str,
) -> None:
    change_settings(client.application, monkeypatch, **{limit: 2})
    monkeypatch.setitem(client.application.extensions, websockets.SLOTS, WebSocketSlots())
    open_ones = [connect(player), connect(player)]
    with pytest.raises(websocket.WebSocketBadStatusException) as refusal:
        connect(player)
    assert refusal.value.status_code == status
    assert refusal.value.resp_body
    assert refusal.value.resp_headers
    assert json.loads(refusal.value.resp_body)["detail"].startswith(detail)
    assert int(refusal.value.resp_headers["retry-after"]) > 0
    assert client.get("/healthz").status_code == 200
    open_ones[0].ws.close()
    eventually(lambda: opens(connect, player))  # the slot is free once the server has noticed


def test_limit_of_one_player_leaves_sockets_to_others(
    connect: Connect, app: Flask, register: Callable[[], Player], monkeypatch: pytest.MonkeyPatch
) -> None:
    change_settings(app, monkeypatch, max_websockets_per_client=1)
    monkeypatch.setitem(app.extensions, websockets.SLOTS, WebSocketSlots())
    ada, grace = register(), register()
    connect(ada)
    assert refused(connect, ada) == 429
    assert connect(grace).hears_nothing()


def test_message_over_the_limit_closes_the_socket(connect: Connect, player: Player) -> None:
    socket = connect(player)
    socket.ws.send("x" * (websockets.MAX_MESSAGE_BYTES + 1))
    assert socket.closed_with() == 1009


def test_too_many_client_messages_close_the_socket(connect: Connect, player: Player) -> None:
    closed = value_of("waymark_websockets_closed_total", reason="policy")
    socket = connect(player)
    for _ in range(event_stream.MAX_CLIENT_MESSAGES + 1):
        socket.ws.send("hello")
    assert socket.closed_with() == event_stream.POLICY_VIOLATION
    eventually(lambda: value_of("waymark_websockets_closed_total", reason="policy") == closed + 1)


def test_slow_client_is_closed_and_can_resume(
    connect: Connect, relay: Relay, app: Flask, player: Player, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A send blocks while the queue overflows, as with a client that does not read."""
    slow = value_of("waymark_websockets_closed_total", reason="slow")
    monkeypatch.setattr(fanouts, "QUEUE_LENGTH", 3)
    held, free = threading.Event(), threading.Event()
    send = websocket_io.send

    def slow_send(ws: Any, text: str) -> None:
        held.set()
        assert free.wait(20)
        send(ws, text)

    relay()
    socket = connect(player)
    say(conn, player, "hello")
    assert socket.next()["name"] == "hello"  # the subscriber is active: later events arrive through the queue
    monkeypatch.setattr(event_stream, "send", slow_send)
    say(conn, player, "0")
    assert held.wait(20)
    say(conn, player, *map(str, range(1, 6)))
    (subscription,) = [
        subscription for subscription in app.extensions[fanouts.EXTENSION].list_all() if subscription.owner == player.id
    ]
    eventually(lambda: subscription.has_overflowed)
    free.set()
    first = socket.next()
    assert socket.closed_with() == event_stream.TRY_AGAIN_LATER
    eventually(lambda: value_of("waymark_websockets_closed_total", reason="slow") == slow + 1)

    resumed = connect(player, query=f"?since={first['id']}")
    assert names(resumed.take(5)) == ["1", "2", "3", "4", "5"]


def test_sockets_do_not_compress(connect: Connect, player: Player) -> None:
    """A compressor takes 300 KB for each socket."""
    offer = ["Sec-WebSocket-Extensions: permessage-deflate"]
    headers = [f"{name}: {value}" for name, value in player.headers.items()]
    assert "sec-websocket-extensions" not in (connect(player, header=headers + offer).ws.getheaders() or {})


def test_sockets_of_a_session_share_a_check_of_their_access(
    app: Flask, client: Any, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[object] = []
    check = sessions.is_session_active

    def count_and_check(*arguments: Any) -> bool:
        checks.append(arguments)
        return check(*arguments)

    monkeypatch.setattr(sessions, "is_session_active", count_and_check)
    with app.test_request_context(headers=player.headers):
        caller = authenticate()
        listeners = [websockets.Listener.shared(caller, None) for _ in range(8)]
    checks.clear()
    assert run_concurrently([partial(each.may_listen, needs_recheck=False) for each in listeners]) == [True] * 8
    assert len(checks) == 1
    client.post("/auth/logout", headers=player.headers)
    checks.clear()
    assert [each.may_listen(needs_recheck=True) for each in listeners] == [False] * 8
    assert len(checks) >= 8, "a revocation makes each socket check again"
