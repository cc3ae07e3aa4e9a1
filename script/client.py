"""A client of Waymark as a game or an admin's tool would be: HTTP with a token, and a WebSocket that listens."""

from __future__ import annotations

import json
import secrets
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from simple_websocket import Client as WebSocket
from simple_websocket import ConnectionClosed

PATIENCE = 30.0


class AnswerError(Exception):
    """An answer that is not a success; the message is the problem's own."""


@dataclass
class Client:
    """One person at one service."""

    base_url: str
    token: str | None = None

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send JSON, and return the JSON of the response. Raise AnswerError for a status of 400 and above."""
        text = self.fetch(method, path, body, **headers)
        return json.loads(text) if text else None

    def fetch(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        """Send a request with a body of any type, and return a response of any type, such as an image."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None
        if isinstance(body, bytes):
            data = body
        elif body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(self.base_url + path, data, headers, method=method)  # noqa: S310 - our own URL
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise AnswerError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("PUT", path, body, **headers)

    def upload(self, path: str, field: str, file: bytes) -> Any:
        """PUT one file as the field of a form (multipart/form-data, RFC 7578)."""
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{field}"\r\n\r\n'
        body = head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
        return self.put(path, body, Content_Type=f"multipart/form-data; boundary={boundary}")

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)


@dataclass
class Player(Client):
    """A registered player."""

    player_id: str = ""
    username: str = ""

    @classmethod
    def register(cls, base_url: str, username: str, password: str) -> Player:
        created = Client(base_url).post("/auth/register", {"username": username, "password": password})
        return cls(base_url, created["access_token"], created["player_id"], created["username"])

    def listen(self, *, since: str | None = None) -> Listener:
        """Follow the player's own events, from now on or from where another socket left off."""
        url = f"{self.base_url.replace('http', 'ws', 1)}/ws/{self.player_id}{f'?since={since}' if since else ''}"
        return Listener(WebSocket(url, headers={"Authorization": f"Bearer {self.token}"}))


@dataclass
class Listener:
    """The messages of a socket, read by a thread."""

    socket: Any
    messages: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._news = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    def verdict(self, scan_id: str) -> dict[str, Any]:
        """Wait for the scan's `scan_result` and return it. Raise TimeoutError if it does not arrive."""

        def find_result() -> dict[str, Any] | None:
            wanted = (m for m in self.messages if m["event"] == "scan_result" and m["scan_id"] == scan_id)
            return next(wanted, None)

        with self._news:
            if not self._news.wait_for(find_result, PATIENCE):
                raise TimeoutError(f"no scan_result for {scan_id} within {PATIENCE:.0f} s")
            found = find_result()
        assert found is not None  # noqa: S101 - waited for
        return found

    def wait(self, n: int) -> list[dict[str, Any]]:
        """Wait for at least `n` messages and return all so far. Raise TimeoutError if they do not arrive."""
        with self._news:
            if not self._news.wait_for(lambda: len(self.messages) >= n, PATIENCE):
                raise TimeoutError(f"{len(self.messages)} messages instead of {n} within {PATIENCE:.0f} s")
            return list(self.messages)

    def close(self) -> None:
        self.socket.close()

    def _run(self) -> None:
        try:
            while True:
                message = json.loads(self.socket.receive())
                with self._news:
                    self.messages.append(message)
                    self._news.notify_all()
        except ConnectionClosed:
            pass
