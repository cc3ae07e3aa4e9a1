"""Wake the relay after a commit that appended events, so that it numbers and publishes them at once.

The wakeup is the only member of a sorted set: a second one changes nothing until the relay has taken the first. If
Redis loses it, the relay's own poll finds the events within a second.
"""

import redis

from shared.infra.logging import get_logger
from shared.infra.redis import client, key

log = get_logger()

WAKEUP_SET = "relay_wakeup"


def add_wakeup(commands: "redis.Redis") -> None:
    """Add the wakeup to a pipeline, beside the caller's own commands, or send it with a client."""
    commands.zadd(key(WAKEUP_SET), {"": 0})


def wake_relay() -> None:
    """Wake the relay. Call after the commit."""
    try:
        add_wakeup(client())
    except redis.RedisError as error:
        log.warning("relay_wakeup_failed", error=str(error))


def wait_for_wakeup(seconds: float) -> None:
    """Take a wakeup, or wait up to `seconds` for one. Raise redis.RedisError if Redis is unavailable."""
    client().bzpopmin(key(WAKEUP_SET), timeout=seconds)
