"""Frames are sent whole, and times are in UTC."""

import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest

from shared.infra.event_log import Event
from shared.infra.pubsub_messages import to_message
from web.realtime.websocket_io import SerializedSocket


class Raw:
    """The unguarded socket: the negative control."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, data: bytes) -> int:
        self.sock.sendall(data)
        return len(data)


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "negative control"])
def test_pong_is_not_written_inside_a_message(guarded: bool) -> None:
    """One thread sends a message that fills the buffer while another answers pings."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    writer = SerializedSocket(near) if guarded else Raw(near)
    text, pong, start = b"t" * 1_000_000, b"p" * 2, threading.Event()

    def answer_pings() -> None:
        start.wait(10)
        for _ in range(200):
            writer.send(pong)

    with ThreadPoolExecutor(2) as threads:
        sent: list[Future[Any]] = [threads.submit(writer.send, text), threads.submit(answer_pings)]
        start.set()
        values = b""
        while len(values) < len(text) + 200 * len(pong):
            values += far.recv(1_000)
        for done in sent:
            done.result()
    assert (text in values) is guarded
    near.close()
    far.close()


def test_times_are_in_utc_in_any_time_zone_of_the_server() -> None:
    in_new_york = datetime(2026, 2, 12, 5, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert to_message(Event(1, "test", uuid4(), None, {}, in_new_york))["at"] == "2026-02-12T10:00:00Z"
    assert to_message(Event(1, "test", None, None, {}, datetime(2026, 2, 12, tzinfo=UTC)))["at"].endswith("Z")
