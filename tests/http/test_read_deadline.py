"""Slow and incomplete requests: read until the deadline, and no longer."""

import socket
import struct
from collections.abc import Iterator

import pytest
from gunicorn.http.errors import NoMoreData
from hypothesis import given
from hypothesis import strategies as st

from web.server.read_deadline import DeadlineReader, ReadTimeout


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Wire:
    """A socket whose client sends the given pieces, each after a delay."""

    def __init__(self, clock: Clock, pieces: list[tuple[float, bytes]]) -> None:
        self._clock, self._pieces = clock, iter(pieces)

    def setsockopt(self, _level: int, _name: int, value: bytes) -> None:
        assert struct.unpack("ll", value) > (0, 0)  # which would mean: as long as you like

    def recv(self, _size: int) -> bytes:
        seconds, data = next(self._pieces, (0.0, b""))
        self._clock.now += seconds
        return data


def reader(*pieces: tuple[float, bytes]) -> DeadlineReader:
    clock = Clock()
    return DeadlineReader(Wire(clock, list(pieces)), seconds=30, rate=1_000, clock=clock)


def pieces(patience: DeadlineReader) -> Iterator[bytes]:
    while data := patience.chunk():
        yield data


def test_request_sent_byte_by_byte_times_out() -> None:
    dribbled: list[bytes] = []
    with pytest.raises(ReadTimeout):
        dribbled.extend(pieces(reader(*[(9.0, b"x")] * 100)))
    assert len(dribbled) == 4  # 36 seconds after the first was there to be read


def test_steady_upload_extends_the_deadline() -> None:
    steady = [(1.0, bytes(2_000))] * 500

    assert sum(map(len, pieces(reader(*steady)))) == 1_000_000


def test_next_request_has_a_new_deadline() -> None:
    patience = reader(*[(20.0, b"x")] * 4)
    for _ in range(2):
        patience.start_request()
        assert [patience.chunk(), patience.chunk()] == [b"x", b"x"]


def test_body_that_ends_early_is_an_error() -> None:
    patience = reader((0.0, b"head"))
    assert patience.chunk() == b"head"
    patience.is_body = True
    with pytest.raises(NoMoreData):
        patience.chunk()


def test_end_of_connection_between_requests_is_not_an_error() -> None:
    assert reader().chunk() == b""


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(1, 5_000)), max_size=100))
def test_read_time_is_bounded_by_the_bytes_received(values: list[tuple[float, int]]) -> None:
    clock = Clock()
    patience = DeadlineReader(Wire(clock, [(s, bytes(n)) for s, n in values]), seconds=30, rate=1_000, clock=clock)
    received = 0
    try:
        for data in pieces(patience):
            received += len(data)
    except ReadTimeout:
        assert clock.now - 1_000 > 30 + received / 1_000
    slowest = max((seconds for seconds, _ in values), default=0)
    assert clock.now - 1_000 <= 30 + received / 1_000 + 2 * slowest


def test_silence_times_out() -> None:
    server_socket, client_socket = socket.socketpair()
    with server_socket, client_socket:
        server_socket.setblocking(False)  # as the system says it: no data yet
        with pytest.raises(ReadTimeout):
            DeadlineReader(server_socket, 30, 1_000).chunk()
