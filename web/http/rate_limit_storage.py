"""A storage back end of Flask-Limiter: counters in Redis, one round trip per counter and request."""

import time
from pathlib import Path
from typing import Any

import redis
from flask import g
from limits.storage import Storage
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.infra.logging import get_logger
from shared.infra.metrics import Gauge
from shared.infra.redis import key as prefixed
from shared.infra.redis import make_client

log = get_logger()

LOCAL = Gauge(
    "waymark_rate_limits_local",
    "1 while a process counts requests in its own memory, because Redis is unavailable. Limits are then higher.",
    multiprocess_mode="livemax",
)
SCHEME = "waymark"
# A slower Redis counts as unavailable: Flask-Limiter then counts in the memory of this process, and checks for Redis
# after 1, 2, 4 … 32 seconds.
SOCKET_TIMEOUT_SECONDS = 0.25
INCREMENT_SCRIPT = (Path(__file__).parent / "rate_limit_increment.lua").read_text()


class RedisRateLimitStorage(Storage):
    """A storage of the `limits` library. It keeps a request's counts in `g`, so headers need no second round trip."""

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012 - as the library declares it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._client = make_client(
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
            health_check_interval=0,
            retry=Retry(NoBackoff(), 0),
        )
        self._increment = self._client.register_script(INCREMENT_SCRIPT)

    @property
    def base_exceptions(self) -> type[Exception]:
        return redis.RedisError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        try:
            count, milliseconds = self._increment([prefixed("rate_limits", key)], [amount, expiry * 1000])
        except redis.RedisError:
            LOCAL.set(1)
            raise
        _counts()[key] = int(count), time.time() + int(milliseconds) / 1000
        return int(count)

    def get(self, key: str) -> int:
        return _counts().get(key, (0, 0.0))[0]

    def get_expiry(self, key: str) -> float:
        return _counts().get(key, (0, time.time()))[1]

    def check(self) -> bool:
        """Return whether Redis is available again. Called only while this process counts in its own memory."""
        try:
            self._client.ping()
        except redis.RedisError:
            return False
        LOCAL.set(0)
        log.info("rate_limit_storage_recovered")
        return True

    def clear(self, key: str) -> None:
        self._client.delete(prefixed("rate_limits", key))

    def reset(self) -> int | None:
        raise NotImplementedError


def _counts() -> dict[str, tuple[int, float]]:
    """Return this request's counters: the count, and the time at which the window ends."""
    counts: dict[str, tuple[int, float]] = g.setdefault("rate_limit_counts", {})
    return counts
