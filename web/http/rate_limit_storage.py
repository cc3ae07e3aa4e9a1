"""Where budgets are counted: in our Redis, with one question for each, which tells all there is to tell."""

import time
from pathlib import Path
from typing import Any

import redis
from flask import g
from limits.storage import Storage
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.infra.logging import get_logger
from shared.infra.redis import key as prefixed
from shared.infra.redis import make_client
from shared.settings import settings

log = get_logger()

SCHEME = "waymark"
SOCKET_TIMEOUT_SECONDS = 0.25
"""A Redis that takes longer is as good as gone: Flask-Limiter counts in this process's memory until it is back, and
looks for it after 1, 2, 4 … 32 seconds."""
INCREMENT_SCRIPT = (Path(__file__).parent / "rate_limit_increment.lua").read_text()


class RedisRateLimitStorage(Storage):
    """A storage of the `limits` library. What a request has spent is kept with the request, so that the headers of its
    answer need not ask again."""

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012 - as the library declares it

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._client = make_client(
            max_connections=settings().web_threads + 1,  # else a crowd looks like a Redis that is gone
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
            health_check_interval=0,
            retry=Retry(NoBackoff(), 0),
        )
        self._spend = self._client.register_script(INCREMENT_SCRIPT)

    @property
    def base_exceptions(self) -> type[Exception]:
        return redis.RedisError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        spent, left = self._spend([prefixed("rate_limits", key)], [amount, expiry * 1000])
        _told()[key] = int(spent), time.time() + int(left) / 1000
        return int(spent)

    def get(self, key: str) -> int:
        return _told().get(key, (0, 0.0))[0]

    def get_expiry(self, key: str) -> float:
        return _told().get(key, (0, time.time()))[1]

    def check(self) -> bool:
        """Asked only while this process counts for itself."""
        try:
            self._client.ping()
        except redis.RedisError:
            return False
        log.info("rate_limit_storage_recovered")
        return True

    def clear(self, key: str) -> None:
        self._client.delete(prefixed("rate_limits", key))

    def reset(self) -> int | None:
        raise NotImplementedError


def _told() -> dict[str, tuple[int, float]]:
    """By counter, how much is spent and when its window ends, as this request has heard it."""
    told: dict[str, tuple[int, float]] = g.setdefault("rate_limit_counts", {})
    return told
