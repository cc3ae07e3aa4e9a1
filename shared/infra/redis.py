"""Redis clients. All are created here, so that timeouts, TLS and key names are the same everywhere.

Redis carries messages, live events and caches. PostgreSQL stores the data: losing Redis delays work, and loses none.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import redis
from pydantic import SecretStr

from shared.infra.per_process import per_process
from shared.infra.redis_sentinel import sentinel_pool
from shared.settings import SettingsError, settings
from shared.store_urls import is_sentinel_url, parse_sentinel_url

SOCKET_TIMEOUT_SECONDS = 2.0
POOL_TIMEOUT_SECONDS = 2.0
PING_SECONDS = 5.0


def make_client(url: SecretStr | None = None, **options: Any) -> "redis.Redis":
    """Return a client of REDIS_URL, or of another URL, with timeouts of two seconds.

    Beyond REDIS_CONNECTIONS, callers wait up to two seconds for a connection. With sentinels, a new connection is one
    to the master that they name then.
    """
    address = (url or settings().redis_url).get_secret_value()
    if address.startswith("rediss") and not settings().redis_tls_verify:
        options |= {"ssl_cert_reqs": None, "ssl_check_hostname": False}
    options = {
        "socket_timeout": SOCKET_TIMEOUT_SECONDS,
        "socket_connect_timeout": SOCKET_TIMEOUT_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "client_name": "waymark",
    } | options
    # redis-py's own pool raises an error instead, so a burst of requests would look like an unavailable Redis.
    limits = {"max_connections": settings().redis_connections, "timeout": POOL_TIMEOUT_SECONDS}
    if is_sentinel_url(address):
        return redis.Redis.from_pool(sentinel_pool(parse_sentinel_url(address), **limits, **options))
    return redis.Redis.from_pool(redis.BlockingConnectionPool.from_url(address, **limits, **options))


@per_process
def client() -> "redis.Redis":
    """Return this process's client. Requests share it; a fork gets new connections."""
    return make_client()


def listen(*, channels: Iterable[str] = (), patterns: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield the messages of the channels, after one that confirms each subscription (`subscribe` or `psubscribe`).

    Raise redis.RedisError if the connection ends or the server stops answering pings.
    """
    with make_client(socket_timeout=None, health_check_interval=0).pubsub() as subscriber:
        if channels:
            subscriber.subscribe(*channels)
        if patterns:
            subscriber.psubscribe(*patterns)
        last_received = time.monotonic()
        while True:
            received = subscriber.get_message(timeout=PING_SECONDS)
            if received is not None:
                last_received = time.monotonic()
                if received["type"] != "pong":
                    yield received
            elif time.monotonic() - last_received > 3 * PING_SECONDS:
                raise redis.ConnectionError("the server stopped answering")
            else:
                subscriber.ping()


def key(*parts: object) -> str:
    """Return the name of a key or pub/sub channel, with this installation's prefix."""
    return ":".join((settings().redis_prefix, *map(str, parts)))


def require_no_eviction() -> None:
    """Exit if this is production and Redis may evict queues.

    The policy is read through INFO, since managed servers block CONFIG. If Redis is unavailable, the
    process starts: accepting scans needs no Redis.
    """
    if not settings().is_production:
        return
    try:
        policy = str(client().info("memory").get("maxmemory_policy", "noeviction"))
    except redis.RedisError:
        return
    if policy.startswith("allkeys"):
        raise SettingsError(f"REDIS_URL: maxmemory-policy {policy} drops queues; set noeviction or a volatile-* one")
