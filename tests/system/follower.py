"""A client that follows a stream of live events through whatever happens to its socket."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import psycopg
import websocket

from tests.support.callers import SignedInPlayer
from tests.support.polling import eventually

PATIENCE = 60.0
RETRY_SECONDS = 0.05

Heard = list[tuple[str, str]]


class Follower:
    """Reconnects with the last event id whenever its socket ends, and stores all messages."""

    def __init__(self, base_url: str, path: str, person: SignedInPlayer, hang_up_after: int | None = None) -> None:
        """hang_up_after: close each socket after this number of events."""
        self.received: list[dict[str, Any]] = []
        self.opened = 0
        self.closed_with: list[int] = []
        self.refused: list[int] = []
        self._url = f"ws{base_url.removeprefix('http')}{path}"
        self._person = person
        self._hang_up_after = hang_up_after
        self._ending = threading.Event()
        self._ws: websocket.WebSocket | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.until_opened(1)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ending.set()
        if self._ws is not None and self._ws.sock is not None:
            with suppress(OSError):
                self._ws.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)

    @property
    def heard(self) -> Heard:
        """Which event of which scan, in order."""
        return [(event["event"], event["scan_id"]) for event in self.received]

    def until_opened(self, times: int) -> None:
        eventually(lambda: self.opened >= times)

    def _run(self) -> None:
        while not self._ending.is_set():
            # A reset has no id: the client loads the current state, and follows from there.
            last = self.received[-1].get("id") if self.received else None
            since = f"?since={last}" if last else ""
            try:
                self._ws = websocket.create_connection(self._url + since, header=self._person.headers, timeout=PATIENCE)
            except websocket.WebSocketBadStatusException as refusal:
                self.refused.append(refusal.status_code)
                self._ending.wait(RETRY_SECONDS)
            except (OSError, websocket.WebSocketException):
                self._ending.wait(RETRY_SECONDS)
            else:
                self.opened += 1
                with suppress(OSError, websocket.WebSocketException):
                    self._listen(self._ws)
                self._ws.close(timeout=1)

    def _listen(self, ws: websocket.WebSocket) -> None:
        enough = len(self.received) + self._hang_up_after if self._hang_up_after else None
        while len(self.received) != enough and not self._ending.is_set():
            opcode, data = ws.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self.closed_with.append(int.from_bytes(data[:2], "big"))
                return
            self.received.append(json.loads(data))


def logged(database_url: str, *, player: UUID | None = None, org: UUID | None = None) -> Heard:
    """What the event log holds of a player or an organization, in its order."""
    with psycopg.connect(database_url) as conn:
        rows = conn.execute(
            "SELECT type, data->>'scan_id' FROM events WHERE player_id = %s OR org_id = %s ORDER BY position",
            (player, org),
        )
        return [(str(type_), str(scan_id)) for type_, scan_id in rows]


def assert_heard_all(follower: Follower, log: Callable[[], Heard]) -> None:
    """The follower hears everything that is in the log, once and in order."""
    assert log()
    eventually(lambda: len(follower.received) >= len(log()))
    whole = log()
    assert follower.heard == whole
    assert len({event["id"] for event in follower.received}) == len(whole)
