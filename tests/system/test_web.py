"""Real HTTP: racing requests, requests in flight when web stops, and clients that hold connections."""

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import urllib3
import websocket

from tests.conftest import PASSWORD
from tests.support.callers import sign_in
from tests.support.concurrency import run_concurrently
from tests.support.polling import eventually
from tests.system.conftest import Stage, assert_tells_none_of
from tests.system.invariants import verdicts
from tests.system.load import Scan, make_code
from tests.system.processes import ENVIRONMENT, halted, log_lines, restarted, send

pytestmark = pytest.mark.system

SOCKETS = int(ENVIRONMENT["MAX_WEBSOCKETS"])


def test_fifty_posts_with_one_nonce_create_one_scan(stage: Stage) -> None:
    scan = Scan(stage.game.players[0], stage.game.codes["once"])
    values = run_concurrently([partial(stage.load.hand_in, scan)] * 50)
    assert len(values) == 50
    assert len(set(values)) == 1
    assert stage.load.answers == {202: 50}
    stage.assert_settled_once()
    assert verdicts(stage.database_url, scan.code) == {"success": 1}


def test_one_of_a_hundred_players_gets_the_last_item(stage: Stage, app: Any) -> None:
    code = make_code(
        stage.load, stage.game.owner, stage.game.org_id, max_scans=1, reward={"item": "crown", "quantity": 1}
    )
    with psycopg.connect(stage.database_url, autocommit=True) as conn:
        players = [sign_in(app, conn) for _ in range(100)]
    run_concurrently([partial(stage.load.hand_in, Scan(player, code)) for player in players])
    stage.assert_settled_once()
    assert verdicts(stage.database_url, code) == {"success": 1, "sold_out": 99}
    held = [stage.load.ask("GET", f"/player/{player.id}/inventory", player).json()["items"] for player in players]
    assert [[(item["item"], item["quantity"]) for item in items] for items in held if items] == [[("crown", 1)]]


def test_waiting_requests_are_answered_when_web_stops(stage: Stage) -> None:
    """No verdict can fall: the workers are halted. What was committed is acknowledged, not cut off; also where sockets
    came and went before."""
    scans = [Scan(player, stage.game.codes["open"]) for player in stage.game.players[:3]]

    def wait_for_verdict(scan: Scan) -> urllib3.BaseHTTPResponse:
        return stage.load.ask("POST", "/scan", scan.player, scan.body(), Prefer="wait=10")

    for _ in range(2 * SOCKETS):
        next_socket(stage).close()
    values = stage.server.pids("web")
    with halted(stage.server.pids("worker")), ThreadPoolExecutor(len(scans)) as threads:
        waiting = [threads.submit(wait_for_verdict, scan) for scan in scans]
        eventually(lambda: accepted(stage, scans) == len(scans))
        send(signal.SIGTERM, values[:1])
        assert [response.result().status for response in waiting] == [202] * len(scans)
    restarted(stage.server, "web", than=values)
    stage.load.hand_in_all(scans)
    stage.assert_settled_once()


def accepted(stage: Stage, scans: list[Scan]) -> int:
    with psycopg.connect(stage.database_url) as conn:
        nonces = [scan.nonce for scan in scans]
        return conn.execute("SELECT FROM player_scans WHERE nonce = ANY(%s)", (nonces,)).rowcount


def open_socket(stage: Stage) -> websocket.WebSocket | None:
    """Open a player's socket. Return None above the limit."""
    player = stage.game.players[0]
    url = f"ws{stage.server.base_url.removeprefix('http')}/ws/{player.id}"
    try:
        return websocket.create_connection(url, header=player.headers)
    except websocket.WebSocketBadStatusException as rejected:
        if rejected.status_code == 503:
            return None
        raise


def next_socket(stage: Stage) -> websocket.WebSocket:
    """Open a socket once the server has noticed that others closed."""
    opened = eventually(partial(open_socket, stage))
    assert opened is not None
    return opened


def test_idle_sockets_block_no_request(stage: Stage) -> None:
    with ExitStack() as open_sockets:
        for _ in range(SOCKETS):
            open_sockets.callback(next_socket(stage).close)
        assert open_socket(stage) is None
        waiting = [Scan(other, stage.game.codes["open"]) for other in stage.game.players]
        responses = run_concurrently(
            [partial(stage.load.ask, "POST", "/scan", scan.player, scan.body(), Prefer="wait=5") for scan in waiting]
        )
        assert {response.status for response in responses} <= {200, 202}
        assert stage.load.ask("GET", "/healthz").status == 200
    stage.load.hand_in_all(waiting)
    stage.assert_settled_once()


def test_400_incomplete_requests_block_no_other(stage: Stage) -> None:
    """Half of the clients send an incomplete head, the others no body."""
    url = urlsplit(stage.server.base_url)
    halves = [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
    ]
    with ExitStack() as stopped:
        for k in range(400):
            client = stopped.enter_context(socket.create_connection((url.hostname, url.port)))
            client.sendall(halves[k % 2])
        assert stage.load.ask("GET", "/healthz").status == 200


def test_request_id_links_the_response_and_the_verdict(stage: Stage) -> None:
    scan, request_id = Scan(stage.game.players[0], stage.game.codes["once"]), f"client-made.{stage.game.org_id}"
    response = stage.load.ask("POST", "/scan", scan.player, scan.body(), X_Request_ID=request_id)
    assert response.headers["X-Request-ID"] == request_id

    def lines(process: str, event: str) -> list[dict[str, Any]]:
        wanted = {"process": process, "event": event, "request_id": request_id}
        return [line for line in log_lines(stage.server) if line.items() >= wanted.items()]

    (settled,) = eventually(lambda: lines("worker", "scan_settled"))
    assert settled["scan_id"] == response.json()["scan_id"]
    (answered,) = eventually(lambda: lines("web", "request_finished"))
    assert (answered["method"], answered["path"], answered["status"]) == ("POST", "/scan", 202)


def test_the_log_has_no_password_token_or_ticket(stage: Stage) -> None:
    """Not in requests that succeed, nor in those that are refused."""
    player, ask = stage.game.owner, stage.load.ask
    ticket = ask("POST", "/ws/ticket", player).json()["ticket"]
    url = f"ws{stage.server.base_url.removeprefix('http')}/ws/{player.id}?ticket={ticket}"
    websocket.create_connection(url).close()
    with pytest.raises(websocket.WebSocketBadStatusException):
        websocket.create_connection(url)
    login = {"username": f"nobody-{ticket[:8]}", "password": PASSWORD}
    assert ask("POST", "/auth/login", json=login).status == 401
    assert ask("POST", "/auth/login", json=login | {"password": [PASSWORD]}).status == 422
    refreshed = ask("POST", "/auth/refresh", Authorization=f"Bearer {player.refresh_token}")
    assert refreshed.status == 200
    assert ask("POST", "/auth/refresh", Authorization=f"Bearer {player.refresh_token}").status == 401
    assert ask("GET", "/users/me", player).status in (401, 404)
    last = ask("GET", "/healthz", X_Request_ID=f"last-{ticket[:8]}")
    eventually(lambda: f"last-{ticket[:8]}" in stage.server.output())
    assert last.status == 200
    assert_tells_none_of({"a ticket": ticket, "a password": PASSWORD}, stage.server.output())
