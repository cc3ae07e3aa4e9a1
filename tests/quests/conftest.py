"""A catalog server for tests, and players with progress."""

import socket
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from flask import Flask

from shared.infra.db import Conn
from shared.quests import catalog_client, definitions, grpc_channel, quest_pb2, quest_pb2_grpc, yaml_loader
from shared.settings import settings
from tests.support.callers import SignedInPlayer, sign_in
from web.http.settings import EXTENSION
from workers.catalog_server import make_server

Settings = Callable[..., None]


@pytest.fixture
def set_settings(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Return a function that changes settings, also those of the application: `set_settings(grpc_tls=True)`."""

    def change(**values: Any) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name.upper(), str(value))
        settings.cache_clear()
        monkeypatch.setitem(app.extensions, EXTENSION, settings())
        start_over()

    yield change
    monkeypatch.undo()
    settings.cache_clear()
    start_over()


def start_over() -> None:
    """Clear the caches, as in a process that has just started."""
    grpc_channel.stub.reset()
    catalog_client.clear_cache()


@pytest.fixture
def shipped(conn: Conn) -> None:
    """The quests that Waymark ships with."""
    for definition in yaml_loader.parse(yaml_loader.DEFAULT_QUESTS.read_text()):
        definitions.save(conn, definition)


@pytest.fixture
def our_catalog(shipped: None, set_settings: Settings) -> Iterator[str]:
    """Run Waymark's catalog server. Return its address."""
    server, _, port = make_server("127.0.0.1:0")
    server.start()
    set_settings(grpc_server_url=f"127.0.0.1:{port}", grpc_deadline_seconds=10)
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


class Stand(quest_pb2_grpc.QuestServiceServicer):
    """A catalog that returns what a test sets, and counts its calls."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Callable[[grpc.ServicerContext], Any] = lambda context: context.abort(
            grpc.StatusCode.NOT_FOUND, "no"
        )

    def say(self, **fields: Any) -> None:
        """Return this quest from now on."""
        self.answer = lambda _context: quest_pb2.QuestResponse(**fields)

    def GetQuestInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.asked += 1
        return self.answer(context)

    def GetAllQuests(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.asked += 1
        return self.answer(context)


@pytest.fixture
def stand(conn: Conn, set_settings: Settings) -> Iterator[Stand]:
    """Run a catalog whose responses each test sets."""
    servicer = Stand()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    quest_pb2_grpc.add_QuestServiceServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    set_settings(grpc_server_url=f"127.0.0.1:{port}", grpc_deadline_seconds=10)
    yield servicer
    server.stop(None).wait()


def closed_port() -> int:
    """Return an address without a listener."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def ada(app: Any, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn, "ada")
