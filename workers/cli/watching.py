"""Watch a job of the process bulk until it ends."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from shared.infra.broker import ERRORS
from shared.infra.db import describe
from shared.messages import Message
from workers.cli.diagnosis.processes import is_waiting
from workers.cli.output import progress_bar

POLL_SECONDS = 0.3
HINT_SECONDS = 5.0
"""Workers take the message of a new job at once."""
STUCK_SECONDS = 30.0
"""Workers store the progress of a job every few seconds."""


class Job(Protocol):
    """An import or a render."""

    @property
    def progress(self) -> float: ...

    @property
    def is_finished(self) -> bool: ...


J = TypeVar("J", bound=Job)


def watch(description: str, message: Message, read: Callable[[], J]) -> J:
    """Show the progress of a job until it ends, and return it. If it makes none, say why, once.

    `message` is the one that starts work on such a job.
    """
    seen, seen_at = -1.0, time.monotonic()
    hints = [(HINT_SECONDS, explain_untaken), (STUCK_SECONDS, explain_stuck)]
    with progress_bar(description) as bar:
        while not (job := read()).is_finished:
            bar.show(job.progress)
            if job.progress != seen:
                seen, seen_at = job.progress, time.monotonic()
            elif hints and time.monotonic() - seen_at >= hints[0][0]:
                _, explain = hints.pop(0)
                if sentence := explain(message):
                    bar.say(sentence)
                    hints.clear()
            time.sleep(POLL_SECONDS)
        bar.show(1.0)
    return job


def explain_untaken(message: Message) -> str | None:
    """Return why no worker starts the job of this message, None if one has taken it."""
    try:
        is_untaken = is_waiting(message)
    except ERRORS as error:
        return f"No progress: the broker of messages is unavailable: {describe(error)}. See `waymark doctor`."
    if not is_untaken:
        return None
    return (
        f"No progress: no process takes messages of the queue {message.queue}. Start the process bulk. "
        "If it runs, it is busy or stuck: see `waymark backlog` and its log."
    )


def explain_stuck(message: Message) -> str:
    """Return why a job makes no progress."""
    return (
        explain_untaken(message)
        or "No progress: the process bulk works on other jobs, or is stuck. See `waymark backlog` and its log."
    )
