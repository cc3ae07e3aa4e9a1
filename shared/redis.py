"""Redis: every client comes from here, so that time limits, TLS and key names are the same everywhere.

Redis carries nudges and live events and caches; PostgreSQL remembers. Losing Redis may delay, never lose.
"""

from functools import cache
from typing import Any

import redis

from shared.settings import SettingsError, settings

SOCKET_SECONDS = 2.0


def make_client(**options: Any) -> "redis.Redis":
    """A client that gives up on a silent server after two seconds, and has up to 100 connections."""
    url = settings().redis_url.get_secret_value()
    if url.startswith("rediss://") and not settings().redis_tls_verify:
        options |= {"ssl_cert_reqs": None, "ssl_check_hostname": False}
    options = {
        "socket_timeout": SOCKET_SECONDS,
        "socket_connect_timeout": SOCKET_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 15,
        "client_name": "waymark",
    } | options
    return redis.Redis.from_url(url, **options)


@cache
def client() -> "redis.Redis":
    """This process's client; its pool is safe to share between threads, and made anew after a fork."""
    return make_client()


def key(*parts: object) -> str:
    """A name under this installation's prefix, for keys and pub/sub channels alike."""
    return ":".join((settings().redis_prefix, *map(str, parts)))


def refuse_eviction() -> None:
    """In production, end a process that would put its queues where Redis may drop them.

    The policy is read through INFO, since managed servers block CONFIG. With Redis away nothing can be asked, and the
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
