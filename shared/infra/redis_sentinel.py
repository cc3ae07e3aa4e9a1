"""Connections to the master that Redis Sentinel names, so that clients follow a failover."""

from typing import Any

from redis import BlockingConnectionPool
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from shared.store_urls import SentinelUrl

SENTINEL_TIMEOUT_SECONDS = 0.5
"""A sentinel that does not answer delays each new connection by this time, until another one answers."""


class BlockingSentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """redis-py's pool of connections to a master, whose callers wait for a connection while all are in use."""


def sentinel_pool(url: SentinelUrl, **options: Any) -> BlockingSentinelPool:
    """Return a pool of connections to the master. `options` are those of its connections, and the pool's limits."""
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")} | (
        {"ssl": True} if url.has_tls else {}
    )
    sentinel = Sentinel(
        url.sentinels,
        sentinel_kwargs={
            "username": url.sentinel_username,
            "password": url.sentinel_password,
            "socket_timeout": SENTINEL_TIMEOUT_SECONDS,
            "socket_connect_timeout": SENTINEL_TIMEOUT_SECONDS,
            # The next sentinel is asked instead. redis-py's default asks this one again, for up to 15 seconds.
            "retry": Retry(NoBackoff(), 0),
            **tls,
        },
    )
    return BlockingSentinelPool(
        url.master,
        sentinel,
        db=url.database,
        username=url.username,
        password=url.password,
        **options,
        **({"ssl": True} if url.has_tls else {}),
    )
