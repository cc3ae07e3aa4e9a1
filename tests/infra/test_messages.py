"""Every message has an actor on its queue, and the scheduler sends again what may have been lost."""

from typing import Any, cast

import pytest

from shared.messages import (
    AssembliesPending,
    CleanUp,
    ErasuresPending,
    GeneratedCodesPending,
    ImportsPending,
    Message,
    RendersPending,
    RollUp,
    ScansPending,
)
from workers.main import broker
from workers.scheduler import build_scheduler


@pytest.mark.parametrize("message", Message.__subclasses__(), ids=lambda message: message.__name__)
def test_a_message_has_an_actor_on_its_queue(message: type[Message]) -> None:
    assert broker.get_actor(message.__name__).queue_name == message.queue


def test_scheduler_sends_every_message_and_cleanup() -> None:
    jobs = build_scheduler(cast("Any", None)).get_jobs()

    assert {job.args[1] for job in jobs} == {
        ScansPending(),
        GeneratedCodesPending(),
        ImportsPending(),
        RendersPending(),
        AssembliesPending(),
        RollUp(),
        ErasuresPending(),
        CleanUp(),
    }
