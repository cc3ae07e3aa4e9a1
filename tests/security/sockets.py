"""Attacks on live events: sockets of others, pages that open them for their visitors, frames that fill a memory."""

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest.mock import patch
from uuid import UUID

import websocket

from shared.settings import Settings
from tests.security.attack import Attack, Attempt, Scene, replaced
from tests.support.callers import SignedInPlayer
from tests.support.threaded_server import PATIENCE, serving
from web.http.credentials import Caller
from web.http.settings import EXTENSION
from web.realtime import websockets
from web.realtime.websocket_slots import WebSocketSlots

ACQUIRE = WebSocketSlots.acquire
PONG, CLOSE = websocket.ABNF.OPCODE_PONG, websocket.ABNF.OPCODE_CLOSE


def connect(address: str, path: str, by: SignedInPlayer | None, **options: Any) -> websocket.WebSocket | None:
    """A socket; None where the server refuses it."""
    header = by.headers if by else {}
    try:
        return websocket.create_connection(f"ws://{address}{path}", PATIENCE, header=header, **options)
    except websocket.WebSocketBadStatusException:
        return None


def opened(scene: Scene, path: str, by: SignedInPlayer | None, **options: Any) -> bool:
    with serving(scene.app) as address:
        socket = connect(address, path, by, **options)
        if socket is not None:
            socket.close()
    return socket is not None


def anothers_page(scene: Scene) -> bool:
    """A page of the attacker in the browser of a signed-in player."""
    owner = scene.victim.owner
    return opened(scene, f"/ws/{owner.id}", owner, origin="https://evil.example")


def another_players(scene: Scene) -> bool:
    return opened(scene, f"/ws/{scene.victim.owner.id}", scene.attacker.owner)


def another_organizations(scene: Scene) -> bool:
    return opened(scene, f"/ws/organizations/{scene.victim.org_id}", scene.attacker.owner)


def without_credentials(scene: Scene) -> bool:
    """Without credentials, and with a ticket that was made up."""
    path = f"/ws/{scene.victim.owner.id}"
    return opened(scene, path, None) or opened(scene, f"{path}?ticket=made-up", None)


def stays_open_after(*frames: websocket.ABNF) -> Attempt:
    """Whether a socket still answers a ping after it was sent these."""

    def attempt(scene: Scene) -> bool:
        owner = scene.attacker.owner
        with serving(scene.app) as address:
            socket = connect(address, f"/ws/{owner.id}", owner)
            assert socket is not None
            try:
                for frame in frames:
                    socket.send_frame(frame)
                socket.ping()
                while (opcode := socket.recv_data(control_frame=True)[0]) not in (PONG, CLOSE):
                    pass
            except (OSError, websocket.WebSocketException):
                return False
            finally:
                socket.close()
        return bool(opcode == PONG)

    return attempt


def text(data: str, final: int = 1, opcode: int = websocket.ABNF.OPCODE_TEXT) -> websocket.ABNF:
    return websocket.ABNF.create_frame(data, opcode, final)


LARGE = "a" * 1_000_000
MANY_PIECES = [text(LARGE[:4_000], 0), *(text(LARGE[:4_000], 0, websocket.ABNF.OPCODE_CONT) for _ in range(250))]


def of_any_size(scene: Scene) -> AbstractContextManager[object]:
    return patch.dict(scene.app.config["SOCK_SERVER_OPTIONS"], max_message_size=None)


def any_caller(scene: Scene) -> AbstractContextManager[object]:
    """Without authentication, the caller is the player of the path."""
    owner = scene.victim.owner
    return patch.object(websockets, "_authenticate", lambda: Caller(owner.id, owner.session_id))


def all_sockets_of_a_process(scene: Scene) -> bool:
    """Return True if one player holds every socket of a process, so another player is refused."""
    return is_refused(scene, [scene.attacker.owner] * 10)


def all_sockets_by_many_players(scene: Scene) -> bool:
    """Return True if one address holds every socket of a process as several players, so another player is refused."""
    guests = [scene.attacker[role] for role in ("owner", "admin", "analyst", "member", "stranger")]
    return is_refused(scene, guests * 2, max_websockets_per_address=5)


def is_refused(scene: Scene, holders: list[SignedInPlayer], **limits: int) -> bool:
    """Return whether a player of another address gets none of 10 sockets, after these players opened one each."""
    with ExitStack() as held, serving(scene.app) as server:
        held.enter_context(with_settings(scene, max_websockets=10, **limits))
        held.enter_context(patch.dict(scene.app.extensions, {websockets.SLOTS: WebSocketSlots()}))
        with patch.object(websockets, "normalize_address", lambda _: "203.0.113.7"):
            for player in holders:
                if socket := connect(server, f"/ws/{player.id}", player):
                    held.callback(socket.close)
        ada = scene.victim.owner
        with patch.object(websockets, "normalize_address", lambda _: "198.51.100.1"):
            socket = connect(server, f"/ws/{ada.id}", ada)
        if socket:
            held.callback(socket.close)
        return socket is None


def acquire_from_any_address(slots: WebSocketSlots, client: UUID, _: str, settings: Settings) -> Callable[[], None]:
    return ACQUIRE(slots, client, secrets.token_hex(), settings)


def with_settings(scene: Scene, **values: int) -> AbstractContextManager[object]:
    current = scene.app.extensions[EXTENSION]
    return patch.dict(scene.app.extensions, {EXTENSION: current.model_copy(update=values)})


ATTACKS = [
    Attack(
        "all sockets of a process",
        all_sockets_of_a_process,
        lambda scene: with_settings(scene, max_websockets_per_client=1_000),
    ),
    Attack(
        "all sockets of a process, from one address",
        all_sockets_by_many_players,
        replaced(WebSocketSlots, "acquire", acquire_from_any_address),
    ),
    Attack("foreign Origin on a socket", anothers_page, replaced(websockets, "_check_origin", lambda: None)),
    Attack(
        "another player's socket",
        another_players,
        replaced(websockets, "path_ids", dict),
    ),
    Attack(
        "another organization's socket", another_organizations, replaced(websockets, "authorize", lambda *_: "owner")
    ),
    Attack("a socket without credentials", without_credentials, any_caller),
    Attack("oversized frames", stays_open_after(text(LARGE)), of_any_size),
    Attack("an oversized message in small frames", stays_open_after(*MANY_PIECES), of_any_size),
]
