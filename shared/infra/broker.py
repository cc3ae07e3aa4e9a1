"""The broker of messages: Redis, or RabbitMQ if BROKER_URL is an amqp:// URL.

Both may lose messages in a failure. The rows that messages point to are in PostgreSQL, and the scheduler's poll sends
a lost message again.
"""

from collections.abc import Callable
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware

from shared.infra.per_process import per_process
from shared.infra.redis import client, key, make_client
from shared.settings import settings

ERRORS = (redis.RedisError, ConnectionClosed)


class BrokerUnavailable(Exception):
    """The broker of messages is unavailable."""


def make_broker(middleware: list[Middleware], broker_class: Callable[..., dramatiq.Broker] | None = None) -> Any:
    """Return a broker for BROKER_URL. Workers pass a class that also consumes.

    It connects when it is first used, so a process can create it before it forks.
    """
    if settings().uses_rabbitmq:
        from shared.infra.rabbitmq import AmqpBroker  # noqa: PLC0415 - the library is loaded only if it is used

        return (broker_class or AmqpBroker)(middleware=middleware)
    return (broker_class or RedisBroker)(
        client=make_client(settings().broker_url),
        namespace=key("dramatiq"),
        middleware=middleware,
        # Out of a million commands. The messages of a killed worker return within seconds instead of minutes.
        maintenance_chance=20_000,
        heartbeat_timeout=15_000,
    )


@per_process
def broker() -> Any:
    """Return this process's broker. Web only sends with it; `workers/broker.py` has the broker that also consumes."""
    return make_broker([])


def broker_client() -> "redis.Redis":
    """Return this process's client of the Redis that carries messages. Not for RabbitMQ."""
    connected: redis.Redis = client() if settings().broker_is_redis_url else broker().client
    return connected


def broker_answers() -> bool:
    """Return whether the broker accepts connections."""
    try:
        check_broker()
    except BrokerUnavailable:
        return False
    return True


def check_broker() -> None:
    """Raise BrokerUnavailable if the broker accepts no connection."""
    try:
        if settings().uses_rabbitmq:
            broker().check()
        else:
            broker_client().ping()
    except ERRORS as error:
        raise BrokerUnavailable(str(error) or type(error).__name__) from error


def keep_broker_alive() -> None:
    """Answer the heartbeats of this thread's connection. Call it every few seconds while the thread sends nothing."""
    if settings().uses_rabbitmq:
        broker().keep_alive()
