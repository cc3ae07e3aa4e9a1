"""Sockets close immediately when their session or role ends, and receive nothing after that."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from shared.infra.db import Conn
from tests.conftest import PASSWORD, Player
from tests.realtime.conftest import Connect, Relay, Socket, names, say
from tests.support.factories import make_org
from tests.support.polling import eventually
from web.realtime import event_stream, fanout, websocket_io, websockets


def test_socket_closes_when_its_session_ends(
    connect: Connect, relay: Relay, client: Any, player: Player, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websockets, "RECHECK_SECONDS", 0.0)
    relay()
    socket = connect(player)
    assert client.post("/auth/logout", headers=player.headers).status_code == 204
    say(conn, player, "secret")
    assert socket.closed_with(nothing_before=True) == event_stream.POLICY_VIOLATION


@pytest.mark.parametrize(
    "change", ["UPDATE memberships SET role = 'member'", "UPDATE organizations SET closed_at = now()"]
)
def test_socket_closes_when_its_role_or_its_organization_ends(
    connect: Connect, relay: Relay, player: Player, conn: Conn, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(websockets, "RECHECK_SECONDS", 0.0)
    org = make_org(conn)
    conn.execute("INSERT INTO memberships VALUES (%s, %s, 'analyst')", (org, player.id))
    relay()
    socket = connect(player, f"/ws/organizations/{org}")
    conn.execute(change)
    say(conn, player, "secret", org_id=org)
    assert socket.closed_with(nothing_before=True) == event_stream.POLICY_VIOLATION


def settle_down(socket: Socket, say_something: Callable[[], None]) -> None:
    """Wait until the socket is subscribed and idle."""
    say_something()
    assert socket.next()


@pytest.mark.parametrize("way", ["logout", "reuse", "password", "revoked", "another login"])
def test_idle_socket_closes_immediately_when_its_session_ends(
    connect: Connect, relay: Relay, client: Any, player: Player, conn: Conn, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The cached check does not delay it. Sockets of the player's other sessions stay open."""
    monkeypatch.setattr(websockets, "RECHECK_SECONDS", 3_600.0)
    login = {"username": player.username, "password": PASSWORD}
    other = client.post("/auth/login", json=login).json
    others = {"Authorization": f"Bearer {other['access_token']}"}
    relay()
    mine, kept = connect(player), connect(path=f"/ws/{player.id}", header=others)
    for socket in (mine, kept):
        settle_down(socket, lambda: say(conn, player, "hello"))

    if way == "logout":
        client.post("/auth/logout", headers=player.headers)
    elif way == "reuse":
        for _ in range(2):
            client.post("/auth/refresh", headers={"Authorization": f"Bearer {player.refresh_token}"})
    elif way == "password":
        body = {"current_password": PASSWORD, "new_password": "battery staple"}
        client.post("/users/me/password", json=body, headers=others)
    elif way == "revoked":
        listed = client.get("/users/me/sessions", headers=others).json["items"]
        (session_id,) = [session["id"] for session in listed if not session["current"]]
        assert client.delete(f"/users/me/sessions/{session_id}", headers=others).status_code == 204
    else:
        client.post("/auth/logout", headers=others)
        mine, kept = kept, mine

    assert mine.closed_with() == event_stream.POLICY_VIOLATION
    say(conn, player, "still here")
    while kept.next().get("name") != "still here":
        pass


@pytest.mark.parametrize("way", ["another role", "removed", "organization deleted"])
def test_idle_staff_socket_closes_immediately_when_its_access_ends(
    connect: Connect, relay: Relay, client: Any, register: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(websockets, "RECHECK_SECONDS", 3_600.0)
    owner, analyst = register(), register()
    org = client.post("/api/organizations", json={"name": "Museum"}, headers=owner.headers).json["id"]
    member = f"/api/organizations/{org}/members/{analyst.id}"
    conn.execute("INSERT INTO memberships VALUES (%s, %s, 'analyst')", (org, analyst.id))
    relay()
    socket, kept = connect(analyst, f"/ws/organizations/{org}"), connect(owner, f"/ws/organizations/{org}")
    for each in (socket, kept):
        settle_down(each, lambda: say(conn, owner, "hello", org_id=org))

    if way == "organization deleted":
        closed = client.delete(f"/api/organizations/{org}", json={"name": "Museum"}, headers=owner.headers)
        assert closed.status_code == 202
        assert {each.closed_with() for each in (socket, kept)} == {event_stream.POLICY_VIOLATION}
        return
    if way == "another role":
        assert client.patch(member, json={"role": "member"}, headers=owner.headers).status_code == 200
    else:
        assert client.delete(member, headers=owner.headers).status_code == 204

    assert socket.closed_with() == event_stream.POLICY_VIOLATION
    say(conn, owner, "still here", org_id=org)
    while kept.next().get("name") != "still here":
        pass


class HeldSends:
    """Sends that block until they are released, as with a client that does not read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held, self.free = threading.Event(), threading.Event()
        self._send = websocket_io.send
        monkeypatch.setattr(event_stream, "send", self)

    def __call__(self, ws: Any, text: str) -> None:
        self.held.set()
        assert self.free.wait(20)
        self._send(ws, text)


@pytest.mark.parametrize("page", [1, 500])
@pytest.mark.parametrize("redis_is_away", [False, True])
def test_replay_stops_when_the_session_ends(
    connect: Connect,
    relay: Relay,
    client: Any,
    player: Player,
    conn: Conn,
    monkeypatch: pytest.MonkeyPatch,
    page: int,
    redis_is_away: bool,
) -> None:
    """The message that is being sent is the last one. Without Redis the rest of a page may follow."""
    monkeypatch.setattr(event_stream, "REPLAY_PAGE", page)
    monkeypatch.setattr(websockets, "RECHECK_SECONDS", 0.0 if redis_is_away else 3_600.0)
    if redis_is_away:
        monkeypatch.setattr(event_stream, "PING_SECONDS", 0.5)
        monkeypatch.setattr("web.api.accounts.publish_access_change", lambda *_ids: None)
    relay()
    first = connect(player)
    say(conn, player, *map(str, range(6)))
    seen = first.take(6)[0]
    first.ws.close()
    sends = HeldSends(monkeypatch)
    resumed = connect(player, query=f"?since={seen['id']}")
    assert sends.held.wait(20)

    assert client.post("/auth/logout", headers=player.headers).status_code == 204
    if not redis_is_away:
        eventually(
            lambda: any(
                subscription.needs_recheck
                for subscription in client.application.extensions[fanout.EXTENSION].list_all()
            )
        )
    sends.free.set()

    received = names(resumed.take(5 if redis_is_away and page > 1 else 1))
    assert received == ["1", "2", "3", "4", "5"][: len(received)]
    assert resumed.closed_with(nothing_before=True) == event_stream.POLICY_VIOLATION


def test_queued_events_are_dropped_when_the_session_ends(
    connect: Connect, relay: Relay, client: Any, player: Player, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websockets, "RECHECK_SECONDS", 3_600.0)
    relay()
    socket = connect(player)
    settle_down(socket, lambda: say(conn, player, "hello"))
    sends = HeldSends(monkeypatch)
    say(conn, player, "in hand")
    assert sends.held.wait(20)
    say(conn, player, "waiting")
    (subscription,) = client.application.extensions[fanout.EXTENSION].list_all()
    eventually(lambda: bool(subscription._queue))

    assert client.post("/auth/logout", headers=player.headers).status_code == 204
    eventually(lambda: subscription.needs_recheck)
    sends.free.set()

    assert socket.next()["name"] == "in hand"
    assert socket.closed_with(nothing_before=True) == event_stream.POLICY_VIOLATION


def test_idle_socket_is_rechecked_at_its_ping_without_redis(
    connect: Connect, client: Any, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No access change is published: the negative control of the two tests above."""
    monkeypatch.setattr(websockets, "RECHECK_SECONDS", 0.0)
    monkeypatch.setattr(event_stream, "PING_SECONDS", 0.5)
    monkeypatch.setattr("web.api.accounts.publish_access_change", lambda *_ids: None)
    socket = connect(player)
    assert socket.hears_nothing(0.1)

    assert client.post("/auth/logout", headers=player.headers).status_code == 204

    assert socket.closed_with() == event_stream.POLICY_VIOLATION


def test_logging_out_needs_no_redis(client: Any, player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def publish(self, *_args: Any) -> None:
            raise redis.ConnectionError("away")

    monkeypatch.setattr("shared.infra.pubsub_messages.client", Away)

    assert client.post("/auth/logout", headers=player.headers).status_code == 204
    assert client.get("/users/me", headers=player.headers).status_code == 401
