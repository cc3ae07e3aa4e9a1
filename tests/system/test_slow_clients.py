"""A real gunicorn, and clients that send slowly, with wrong lengths, or too much, or that read nothing."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from script.stack.ports import LOOPBACK
from shared.infra.event_log import Event
from shared.infra.pubsub_messages import EVENTS_CHANNEL, encode
from shared.infra.redis import client, key
from tests.support.callers import Staff, sign_in
from tests.support.gunicorn_server import is_alive, serving
from tests.support.polling import eventually

pytestmark = pytest.mark.system
HEAD = b"POST /auth/login HTTP/1.1\r\nHost: waymark\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Start a web process that allows a head and a body 1.5 seconds, and more for a long body. Return its port.

    Its clients must read within a second.
    """
    log = tmp_path_factory.mktemp("edges") / "web.log"
    patience = {"REQUEST_READ_TIMEOUT_SECONDS": "1.5", "REQUEST_MIN_BYTES_PER_SECOND": "1000000"}
    with serving(log, config="tests/system/gunicorn_with_short_timeouts.py", **patience) as port:
        yield port


def dribble(port: int, head: bytes, drop: bytes) -> bytes:
    """Send the head, then a byte now and then until the server closes. Return its last response."""
    said = b""
    with socket.create_connection((LOOPBACK, port), timeout=0.02) as sock:
        sock.sendall(head)

        def is_over() -> bool:
            nonlocal said
            try:
                sock.sendall(drop)
                data = sock.recv(65536)
            except TimeoutError:
                return False
            except OSError:
                return True
            said += data
            return not data

        eventually(is_over)
    return said


def exchange(port: int, *pieces: bytes, ends: bool = False) -> bytes:
    """Send the pieces. Return the response until the server closes."""
    with socket.create_connection((LOOPBACK, port), timeout=30) as sock:
        with suppress(OSError):  # the server may have had enough
            for piece in pieces:
                sock.sendall(piece)
            if ends:
                sock.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(sock)
        with suppress(OSError, http.client.HTTPException):
            response.begin()
            return f"{response.status} ".encode() + response.read()
    return b""


def connect_with_small_buffer(port: int) -> socket.socket:
    """Connect a client whose buffer fills soon. It then reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    sock.connect((LOOPBACK, port))
    return sock


def was_disconnected(sock: socket.socket) -> bool:
    """Return whether the server closed its end. The client, whose buffer is full, does not notice."""
    address = sock.getsockname()
    return not any(each.raddr == address and each.pid is not None for each in psutil.net_connections("tcp"))


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="an option of Linux")
def test_client_that_reads_no_response_is_disconnected(port: int) -> None:
    with connect_with_small_buffer(port) as reader:
        reader.sendall(40 * b"GET /openapi.json HTTP/1.1\r\nHost: waymark\r\n\r\n")
        eventually(lambda: was_disconnected(reader))
    assert is_alive(port)


def test_socket_that_reads_no_event_is_disconnected(port: int, app: Any, conn: Any) -> None:
    ada = sign_in(app, conn)
    positions = count(1_000_000)

    def publish_until_disconnected() -> bool:
        event = Event(next(positions), "test", ada.id, None, {"text": 100_000 * "x"}, datetime.now(UTC))
        client().publish(key(EVENTS_CHANNEL), encode([event]))
        return was_disconnected(listener)

    with connect_with_small_buffer(port) as listener:
        listener.sendall(
            f"GET /ws/{ada.id} HTTP/1.1\r\nHost: waymark\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: {ada.headers['Authorization']}\r\n\r\n".encode()
        )
        assert listener.recv(12) == b"HTTP/1.1 101"
        eventually(publish_until_disconnected)
    assert is_alive(port)


def test_slow_request_head_is_cut_off(port: int) -> None:
    assert dribble(port, b"GET /healthz HTTP/1.1\r\nX-Slow: ", b"x") == b""


@contextmanager
def incomplete_heads(port: int) -> Iterator[list[socket.socket]]:
    """Open 400 connections, each with the start of a request."""
    with ExitStack() as opened:
        yield [opened.enter_context(started(port, b"GET /healthz HTTP/1.1\r\nX-Slow: ")) for _ in range(400)]


def started(port: int, start: bytes) -> socket.socket:
    sock = socket.create_connection((LOOPBACK, port), timeout=30)
    sock.sendall(start)
    sock.setblocking(False)
    return sock


def is_open(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_incomplete_heads_block_no_request(tmp_path: Path) -> None:
    """Requests are answered while all these connections are still open, within half of their time."""
    with serving(tmp_path / "web.log", REQUEST_READ_TIMEOUT_SECONDS="60") as port, incomplete_heads(port) as held:
        assert all(is_alive(port) for _ in range(10))
        assert all(map(is_open, held))


def test_incomplete_heads_are_closed(port: int) -> None:
    with incomplete_heads(port) as held:
        eventually(lambda: not any(map(is_open, held)))
    assert is_alive(port)


def test_slow_request_body_is_408(port: int) -> None:
    said = dribble(port, HEAD + b"Content-Length: 16000\r\n\r\n{", b" ")
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in said


def test_silent_clients_block_no_request(port: int) -> None:
    slow = [socket.create_connection((LOOPBACK, port)) for _ in range(12)]
    for sock in slow:
        sock.sendall(HEAD + b"Content-Length: 16000\r\n\r\n{")
    assert is_alive(port)
    for sock in slow:
        sock.close()


def test_long_body_without_a_length_is_413(port: int) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    response = exchange(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 40, b"0\r\n\r\n")
    assert response[:4] in (b"413 ", b"")  # the response may come while the client sends, which then sees a reset
    assert exchange(port, HEAD + b"Content-Length: 9999999\r\n\r\n{}").startswith(b"413 ")


@pytest.mark.parametrize(
    "lie",
    [
        b"Content-Length: 2\r\nContent-Length: 9\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: -2\r\n",
        b"Content-Length: 2x\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
    ],
)
def test_ambiguous_lengths_are_rejected(port: int, lie: bytes) -> None:
    assert exchange(port, HEAD + lie + b"\r\n{}").startswith((b"400 ", b"501 "))


def test_too_many_or_too_large_headers_are_rejected(port: int) -> None:
    many = b"".join(b"X-%d: x\r\n" % n for n in range(101))
    for values in (many, b"X-Large: " + b"x" * 9_000 + b"\r\n"):
        assert exchange(port, b"GET /healthz HTTP/1.1\r\n" + values + b"\r\n").startswith(b"431 ")
    assert exchange(port, b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n\r\n").startswith((b"414 ", b"400 "))


def test_truncated_file_is_not_imported(port: int, app: Any, conn: Any, staff: Staff) -> None:
    """Its rows so far would be a valid file."""
    head = (
        f"POST {staff.codes}/import HTTP/1.1\r\nHost: waymark\r\nContent-Type: text/csv\r\nContent-Length: 999\r\n"
        f"Authorization: {staff.admin.headers['Authorization']}\r\n\r\n"
    )
    response = exchange(port, head.encode(), b"code,scan_type\nfirst,item_drop\n", ends=True)

    assert response.startswith(b"400 ")
    assert conn.execute("SELECT count(*) FROM qr_codes").fetchone() == (0,)


def test_body_that_arrives_in_time_is_read(port: int, app: Any, conn: Any) -> None:
    ada = sign_in(app, conn)
    body = json.dumps({"player_id": str(ada.id), "qr_code": "x"})
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    for _ in range(3):
        connection.request("POST", "/scan", body, ada.headers | {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert (response.status, json.load(response)["status"]) == (202, "pending")
    connection.close()


def test_loopback_is_not_a_trusted_proxy_by_default(port: int) -> None:
    """gunicorn trusts it by default."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30)
    connection.request("GET", "/healthz", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"})
    assert "Strict-Transport-Security" not in connection.getresponse().headers
    connection.close()
