"""Every message that crosses a process.

A message says that rows are pending, and carries ids at most. It may arrive twice or never: the worker claims rows, so
running a message twice is harmless, and the scheduler sends a lost one again. `shared/infra/message_sender.py` sends
them. Equal messages without fields that wait for a worker are one.
"""

from dataclasses import dataclass
from typing import ClassVar


class Message:
    """The base of all messages. A class name is also the name of its actor; `queue` is the queue of the actor."""

    queue: ClassVar[str]


@dataclass(frozen=True)
class ScansAccepted(Message):
    """Scans were accepted: judge all new ones."""

    queue = "scans"


@dataclass(frozen=True)
class ScansPending(Message):
    """Scans are pending: judge all of them, also those whose worker crashed."""

    queue = "scans"


@dataclass(frozen=True)
class GeneratedCodesPending(Message):
    """Generated codes are pending: render all of them."""

    queue = "images"


@dataclass(frozen=True)
class ImportsPending(Message):
    """Imports are pending: run all of them."""

    queue = "maintenance"


@dataclass(frozen=True)
class RendersPending(Message):
    """Chunks of renders are pending: render all of them."""

    queue = "renders"


@dataclass(frozen=True)
class AssembliesPending(Message):
    """Renders whose chunks are all done are pending: assemble the files of all of them."""

    queue = "renders"


@dataclass(frozen=True)
class RenderFilesUnneeded(Message):
    """A render was canceled, or its file is no longer needed: delete its files."""

    render_id: str
    queue = "maintenance"


@dataclass(frozen=True)
class RollUp(Message):
    """Events and visits may be unaggregated: add them to the rollups."""

    queue = "analytics"


@dataclass(frozen=True)
class ErasuresPending(Message):
    """Erasures are pending: erase what is left of these players."""

    queue = "maintenance"


@dataclass(frozen=True)
class CleanUp(Message):
    """An hour has passed: purge all rows and files whose retention has ended."""

    queue = "maintenance"


@dataclass(frozen=True)
class BackUp(Message):
    """A backup may be due: create it, and prove it by a drill."""

    queue = "maintenance"
