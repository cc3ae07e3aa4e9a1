"""Bulk renders: their options, chunks, file names, and when an image is dead-lettered. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from shared.images.image_spec import ErrorCorrection, Format
from shared.renders.label_templates import Caption, LabelTemplate

Output = Literal["zip", "label_sheet"]
RenderStatus = Literal["queued", "running", "done", "failed", "canceled"]

OPEN_STATUSES: tuple[RenderStatus, ...] = ("queued", "running")
MAX_OPEN_RENDERS = 100
"""Of one organization. The parts of open renders take space that no quota counts yet."""
MAX_CODES = 100_000
CHUNK_SIZE = 250
"""For images of a few hundred pixels: a tenth of a second of work, after which another render gets its turn."""
MIN_CHUNK_SIZE, CHUNKS_OF_SMALL_RENDER = 50, 10
"""A ZIP of a few hundred codes has several chunks too, so that its progress moves."""
SLOW_CHUNK_SIZE = 60
"""For slower images: large ones, and vector formats, which are rasterized to be verified."""
SLOW_SIZE = 600
"""PNGs of more pixels are slow."""
MAX_ERRORS_LISTED = 500

MAX_CRASHES = 3
"""How many workers may crash with one image, or while assembling one file, before it is dead-lettered."""
MAX_CHUNK_CLAIMS = 12
"""How many workers may crash with one chunk, whatever the image was."""
MAX_STORAGE_FAILURES = 5
"""How often the storage may fail for one chunk or file before the render fails."""

LINK_TTL = timedelta(hours=1)
ROW_RETENTION = timedelta(days=30)
"""How long a render is listed after it ended or its file expired."""


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """Options of a render. `format` and `size` apply to ZIPs only, and those from `template` on to label sheets only.

    `template` is the name of the template, and `sheet` its measures when the render was requested. `start_at` is the
    first label of the first sheet that gets a code, from 1.
    """

    output: Output = "zip"
    format: Format = "png"
    size: int = 300
    error_correction: ErrorCorrection = "M"
    template: str | None = None
    sheet: LabelTemplate | None = None
    caption: Caption | None = None
    start_at: int | None = None

    @property
    def file_extension(self) -> str:
        """The extension of the file's name, without a dot."""
        return "zip" if self.output == "zip" else "pdf"


@dataclass(frozen=True, kw_only=True)
class Render(RenderOptions):
    """A render. `done` and `failed` count codes. `is_expired` is computed by the database's clock."""

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
    def is_finished(self) -> bool:
        return self.finished_at is not None

    @property
    def progress(self) -> float:
        """The share of codes that are done or failed, 0.0 to 1.0."""
        return (self.done + self.failed) / self.total


def chunk_size(options: RenderOptions) -> int:
    """Return how many codes form a chunk: whole pages of a label sheet."""
    if options.sheet is not None:
        per_page = options.sheet.per_page
        return per_page * max(1, SLOW_CHUNK_SIZE // per_page)
    return CHUNK_SIZE if options.format == "png" and options.size <= SLOW_SIZE else SLOW_CHUNK_SIZE


def split_into_chunks(qr_ids: Sequence[UUID], options: RenderOptions) -> list[tuple[int, Sequence[UUID]]]:
    """Return the codes in chunks, in their order, each with the index of its first code."""
    size = chunk_size(options)
    if options.sheet is None:
        size = min(size, max(MIN_CHUNK_SIZE, -(-len(qr_ids) // CHUNKS_OF_SMALL_RENDER)))
    # The labels that the first chunk skips take the place of codes, so that every chunk begins a page.
    ends = range(size - skipped_labels(options, 0), len(qr_ids) + size, size)
    return [(first, qr_ids[first:end]) for first, end in zip((0, *ends), ends, strict=False) if first < len(qr_ids)]


def skipped_labels(options: RenderOptions, first_index: int) -> int:
    """Return how many labels stay blank before the first one of the chunk that starts with the code at this index."""
    return options.start_at - 1 if options.start_at is not None and first_index == 0 else 0


def tracks_each_image(attempts: int) -> bool:
    """True if this attempt must store the index of each image first: an earlier attempt crashed its worker."""
    return attempts > 1


def dead_lettered_indexes(attempts: int, crash_indexes: Sequence[int], size: int) -> frozenset[int]:
    """Return the indexes of the images of a chunk that are no longer tried; all of them after MAX_CHUNK_CLAIMS."""
    # The first worker that crashes does not say with which image; later ones do. One or two crashes may be chance,
    # where workers are killed for other reasons. Three with the same image are its fault.
    if attempts > MAX_CHUNK_CLAIMS:
        return frozenset(range(size))
    return frozenset(index for index, crashes in Counter(crash_indexes).items() if crashes >= MAX_CRASHES)


def file_prefix(render_id: UUID) -> str:
    """Return the prefix of the names of all files of a render."""
    return f"renders/{render_id}/"


def part_name(render_id: UUID, number: int, token: UUID) -> str:
    """Return the name of a part. It contains the lease token, so no worker overwrites the part of another."""
    return f"{file_prefix(render_id)}{number}-{token}"


def file_name(options: RenderOptions, render_id: UUID, token: UUID) -> str:
    """Return the name of a render's file. It contains the lease token, as the name of a part."""
    return f"{file_prefix(render_id)}{token}.{options.file_extension}"


def image_name(index: int, total: int, code: str, extension: str) -> str:
    """Return a name inside the archive: index and code text, such as `0042-spy123.png`.

    The index makes it unique on file systems that ignore case, and never a Windows device name such as `con.png`.
    """
    # A code text contains no characters with a meaning in paths.
    return f"{index + 1:0{len(str(total))}}-{code}.{extension}"


def render_id_of(name: str) -> UUID | None:
    """Return the render of a file in the storage. None if the file belongs to no render."""
    parts = name.split("/")
    try:
        return UUID(parts[1]) if len(parts) == 3 and parts[0] == "renders" else None
    except ValueError:
        return None


def is_file_needed(name: str, render: Render | None) -> bool:
    """True for a file of an open render, and for the file of a finished one until it expires."""
    if render is None:
        return False
    return render.status in OPEN_STATUSES or (name == render.file_name and not render.is_expired)
