"""Messages between processes: wakeups that are messages, and messages on queues."""

from typing import cast

import pytest

from shared.infra.message_sender import send, wakeup_set
from shared.infra.redis import client
from shared.messages import Message, RenderFilesUnneeded, ScansAccepted, ScansPending
from workers.main import broker
from workers.prefetch import LIMITS
from workers.wakeup_consumer import WakeupConsumer


@pytest.fixture
def consumers(clean: None) -> dict[str, WakeupConsumer]:
    return {
        queue: cast("WakeupConsumer", broker.consume(queue, prefetch=8, timeout=10))
        for queue in (ScansPending.queue, RenderFilesUnneeded.queue)
    }


def names(consumer: WakeupConsumer) -> list[str]:
    """Take messages until none waits, and acknowledge each. Return their actors."""
    found = []
    while (message := next(consumer)) is not None:
        found.append(message.actor_name)
        consumer.ack(message)
    return found


def test_equal_waiting_messages_are_one(consumers: dict[str, WakeupConsumer]) -> None:
    for message in (ScansAccepted(), ScansAccepted(), ScansPending(), ScansAccepted()):
        send(message)
    assert names(consumers["scans"]) == ["ScansAccepted", "ScansPending"]
    send(ScansAccepted())
    assert names(consumers["scans"]) == ["ScansAccepted"]


def test_frequent_message_does_not_hide_an_earlier_one(consumers: dict[str, WakeupConsumer]) -> None:
    for message in (ScansPending(), ScansAccepted()):
        send(message)
    taken = next(consumers["scans"])
    assert taken is not None
    assert taken.actor_name == "ScansPending"


def test_process_takes_up_to_two_messages_of_scans(consumers: dict[str, WakeupConsumer]) -> None:
    """The rest stays for other processes, and equal messages stay one."""
    taken = []
    for _ in range(LIMITS["scans"] + 1):
        send(ScansAccepted())
        taken.append(next(consumers["scans"]))
    *handled, waiting = taken
    assert waiting is None
    assert None not in handled
    assert client().zcard(wakeup_set("scans")) == 1
    assert handled[0] is not None
    consumers["scans"].ack(handled[0])
    assert names(consumers["scans"]) == ["ScansAccepted"]


@pytest.mark.parametrize("message", [ScansPending(), RenderFilesUnneeded("r")], ids=["wakeup", "queued"])
def test_requeued_message_is_taken_again(consumers: dict[str, WakeupConsumer], message: Message) -> None:
    """A process that stops returns the messages that it has not handled."""
    consumer = consumers[message.queue]
    send(message)
    taken = next(consumer)
    assert taken is not None
    consumer.requeue([taken])
    other = cast("WakeupConsumer", broker.consume(message.queue, prefetch=8, timeout=10))
    assert names(other) == [type(message).__name__]


def test_message_with_fields_is_queued_and_acknowledged(consumers: dict[str, WakeupConsumer]) -> None:
    consumer = consumers["maintenance"]
    for render_id in ("a", "b"):
        send(RenderFilesUnneeded(render_id))
    # One fetch returns both. The second does not wait for a wakeup.
    taken = [next(consumer)]
    assert client().zcard(wakeup_set("maintenance")) == 0
    client().zadd(wakeup_set("maintenance"), {"CleanUp": 0})
    taken += [next(consumer), next(consumer)]
    assert [message and message.kwargs for message in taken] == [{"render_id": "a"}, {"render_id": "b"}, {}]
    for message in taken:
        assert message is not None
        consumer.ack(message)
    assert broker.do_qsize("maintenance") == 0
