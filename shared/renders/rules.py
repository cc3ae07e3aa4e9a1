"""What a bulk render is, how it is divided, and when to give up on a part of it. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from shared.images.image_spec import ErrorCorrection, Format
from shared.renders.label_templates import TEMPLATES, Caption

Output = Literal["zip", "label_sheet"]
RenderStatus = Literal["queued", "running", "done", "failed", "canceled"]

OPEN_STATUSES: tuple[RenderStatus, ...] = ("queued", "running")
MAX_CODES = 100_000
CHUNK_SIZE = 250
"""Pictures of a few hundred pixels: a tenth of a second's work, after which whoever waits has a turn."""
SLOW_CHUNK_SIZE = 60
"""Of pictures that take longer: large ones, and those that are looked at by drawing them."""
SLOW_SIZE = 600
MAX_ERRORS_LISTED = 500

MAX_CRASHES = 3
"""How many workers may be seen to die with one picture, or while putting a file together, before it is set aside."""
MAX_CHUNK_CLAIMS = 12
"""How many workers may die with one chunk, whichever picture it was."""
MAX_STORAGE_FAILURES = 5
"""How often the storage may refuse a piece before the render fails."""

LINK_TTL = timedelta(hours=1)
ROW_RETENTION = timedelta(days=30)
"""How long a render is remembered after it ended or its file expired."""


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """How the pictures of a render are to be. `template` and `caption` are a label sheet's; it has no size."""

    output: Output = "zip"
    format: Format = "png"
    size: int = 300
    error_correction: ErrorCorrection = "M"
    template: str | None = None
    caption: Caption | None = None

    @property
    def file_extension(self) -> str:
        """Of the file's name."""
        return "zip" if self.output == "zip" else "pdf"


@dataclass(frozen=True, kw_only=True)
class Render(RenderOptions):
    """A render as it stands. `done` and `failed` count codes. `is_expired` by the database's clock."""

    id: UUID
    org_id: UUID
    created_at: datetime
    status: RenderStatus
    reason: str | None
    total: int
    done: int
    failed: int
    finished_at: datetime | None
    file_name: str | None
    file_bytes: int | None
    expires_at: datetime | None
    is_expired: bool

    @property
    def progress(self) -> float:
        """0.0 to 1.0; all of it once every code was tried."""
        return (self.done + self.failed) / self.total


def chunk_size(asked: RenderOptions) -> int:
    """How many codes a worker takes at a time: whole pages, where there are pages."""
    if asked.template is not None:
        per_page = TEMPLATES[asked.template].per_page
        return per_page * max(1, SLOW_CHUNK_SIZE // per_page)
    return CHUNK_SIZE if asked.format == "png" and asked.size <= SLOW_SIZE else SLOW_CHUNK_SIZE


def split_into_chunks(qr_ids: Sequence[UUID], asked: RenderOptions) -> list[tuple[int, Sequence[UUID]]]:
    """The codes in pieces, each with the place of its first code, in the order that they were given in."""
    size = chunk_size(asked)
    return [(first, qr_ids[first : first + size]) for first in range(0, len(qr_ids), size)]


def tracks_each_image(attempts: int) -> bool:
    """Whether the attempt that begins is to tell before each picture which one it is: a worker died with the others."""
    return attempts > 1


def dead_lettered_indexes(attempts: int, strikes: Sequence[int], size: int) -> frozenset[int]:
    """The pictures of a chunk that are not tried again.

    The first worker that dies does not say with which picture; after that they do. A picture that was in hand three
    times when a worker died is to blame: once or twice may be chance, where workers are killed for other reasons.
    """
    if attempts > MAX_CHUNK_CLAIMS:
        return frozenset(range(size))
    return frozenset(place for place, deaths in Counter(strikes).items() if deaths >= MAX_CRASHES)


def file_prefix(render_id: UUID) -> str:
    """What the names of all files of a render begin with."""
    return f"renders/{render_id}/"


def part_name(render_id: UUID, number: int, token: UUID) -> str:
    """Where a worker writes what it made of a chunk: a name of its own, so that none writes over another's."""
    return f"{file_prefix(render_id)}{number}-{token}"


def file_name(asked: RenderOptions, render_id: UUID, token: UUID) -> str:
    """Where a worker puts the whole file together."""
    return f"{file_prefix(render_id)}{token}.{asked.file_extension}"


def image_name(place: int, total: int, code: str, ending: str) -> str:
    """A name inside the archive: unique whatever the case of letters, in order, and no device of Windows (`con.png`),
    because it begins with the picture's place. A code has no characters that could lead anywhere."""
    return f"{place + 1:0{len(str(total))}}-{code}.{ending}"


def render_id_of(name: str) -> UUID | None:
    """Which render a file in the storage belongs to; None where its name is not one of ours."""
    parts = name.split("/")
    try:
        return UUID(parts[1]) if len(parts) == 3 and parts[0] == "renders" else None
    except ValueError:
        return None


def is_file_needed(name: str, render: Render | None) -> bool:
    """Whether a file has to stay: a part of an open render, or the file of one that is done and has not expired."""
    if render is None:
        return False
    return render.status in OPEN_STATUSES or (name == render.file_name and not render.is_expired)
