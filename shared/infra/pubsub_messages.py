"""The pub/sub messages: events from the relay to the web processes, and changes of access, which close sockets."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

import redis

from shared.infra.event_log import Event
from shared.infra.logging import get_logger
from shared.infra.redis import client, key
from shared.infra.timestamps import format_rfc3339

log = get_logger()

EVENTS_CHANNEL = "events"
VERDICTS_CHANNEL = "verdicts"
ACCESS_CHANGES_CHANNEL = "access_changes"


def to_message(event: Event) -> dict[str, Any]:
    """Return the object that a client receives. It resumes from `id`."""
    message: dict[str, Any] = {"id": str(event.position), "event": event.type}
    if event.player_id is not None:
        message["player_id"] = str(event.player_id)
    return message | event.data | {"at": format_rfc3339(event.at)}


def to_json(message: dict[str, Any]) -> str:
    """Return a message as one line of compact JSON."""
    return json.dumps(message, separators=(",", ":"))


class PublishedEvent(NamedTuple):
    """An event for the sockets of a player and of an organization."""

    position: int
    player_id: str
    org_id: str
    text: str


def encode(batch: Iterable[Event]) -> bytes:
    """Return a batch as lines of `position player org json`, so that a web process parses no JSON."""
    lines = (f"{e.position} {e.player_id or '-'} {e.org_id or '-'} {to_json(to_message(e))}" for e in batch)
    return "\n".join(lines).encode()


def decode(payload: bytes) -> Iterable[PublishedEvent]:
    """Yield the events of an encoded batch. Raises ValueError if it is malformed."""
    for line in payload.decode().split("\n"):
        position, player_id, org_id, text = line.split(" ", 3)
        yield PublishedEvent(int(position), player_id, org_id, text)


def publish_access_change(*ids: UUID) -> None:
    """Publish that a session or a role of these players has ended, or that these API keys or organizations have.

    Call it after the commit. Each web process then checks the access of their sockets. If Redis is unavailable, it does
    so before the next event.
    """
    try:
        client().publish(key(ACCESS_CHANGES_CHANNEL), " ".join(map(str, ids)))
    except redis.RedisError as error:
        log.warning("access_change_publish_failed", error=str(error))
