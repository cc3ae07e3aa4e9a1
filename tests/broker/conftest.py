"""One suite for all brokers: the Redis of the tests, another one, and a RabbitMQ where it is installed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.infra import broker as brokers
from shared.infra.broker import make_broker
from shared.messages import Message
from shared.settings import settings
from tests.support.rabbitmq import RabbitServer, needs_rabbitmq, rabbit_server
from workers.rabbitmq_consumer import EarlyAckBroker
from workers.wakeup_consumer import WakeupBroker

RABBITMQ = pytest.param("rabbitmq", marks=[needs_rabbitmq, pytest.mark.long])
SMOKE = pytest.param("rabbitmq", marks=needs_rabbitmq)
"""For the one test that also an ordinary run makes: RabbitMQ takes seconds to start."""
OTHER_REDIS = "other redis"
"""A Redis for messages alone: another database of the same server."""


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitServer]:
    with rabbit_server() as server:
        yield server


@contextmanager
def broker_at(url: str | None) -> Iterator[None]:
    """Send the messages of this process through this broker, or through Redis."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BROKER_URL", raising=False)
        if url is not None:
            patch.setenv("BROKER_URL", url)
        settings.cache_clear()
        brokers.broker.reset()
        try:
            yield
        finally:
            if (used := brokers.broker.reset()) is not None:
                used.close()
    settings.cache_clear()


@pytest.fixture(params=["redis", OTHER_REDIS, RABBITMQ])
def kind(request: pytest.FixtureRequest, clean: None) -> Iterator[str]:
    """Empty queues of one kind of broker."""
    url = None
    if request.param == "rabbitmq":
        server: RabbitServer = request.getfixturevalue("rabbitmq")
        server.purge()
        url = server.url
    elif request.param == OTHER_REDIS:
        url = f"{os.environ['REDIS_URL'].removesuffix('/0')}/1"
    with broker_at(url):
        yield str(request.param)


@pytest.fixture
def consuming(kind: str) -> Iterator[Callable[[], Any]]:
    """Return a function that makes the broker of one more worker process."""
    made = []

    def make() -> Any:
        worker = make_broker([], EarlyAckBroker if kind == "rabbitmq" else WakeupBroker)
        for message in Message.__subclasses__():
            worker.declare_queue(message.queue)
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.close()
