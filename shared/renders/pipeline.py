"""Rendering of a chunk into a part, and of parts into a file. Importing this module loads the renderer."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TypeVar
from uuid import UUID

from shared.images.image_spec import MIN_SIZE, ImageSpec
from shared.images.readback import is_readable
from shared.images.render import render
from shared.infra.storage.base import FileMissing, Storage
from shared.renders import zip_part
from shared.renders.chunk_codes import ChunkCode
from shared.renders.chunks import Chunk
from shared.renders.image_timer import ImageTimer
from shared.renders.pdf_merge import PdfMerger
from shared.renders.rules import (
    Render,
    dead_lettered_indexes,
    file_name,
    part_name,
    skipped_labels,
    tracks_each_image,
)
from shared.renders.store import FailedCode
from shared.renders.zip_part import ZipPart

T = TypeVar("T")
ProgressCallback = Callable[[int | None], None]


class PartsMissing(Exception):
    """Parts are missing in the storage, or truncated. `names` lists them."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(*names)
        self.names = names


@cache
def warm_up() -> None:
    """Load libraries and tables, so that the first image of a process takes no longer than the others."""
    spec = ImageSpec("warm", size=MIN_SIZE)
    is_readable(spec, render(spec))


def render_part(
    files: Storage,
    job: Render,
    chunk: Chunk,
    codes: Sequence[ChunkCode | None],
    token: UUID,
    before_each: ProgressCallback,
) -> tuple[str, list[FailedCode]]:
    """Write the part of a chunk into the storage. Return its name, and the codes without an image in it.

    `before_each` gets the index of the next image, or None. It ends the work by raising. Raise ChunkTooSlow if work on
    all images of a label sheet takes too long.
    """
    name = part_name(job.id, chunk.number, token)
    dead_lettered = dead_lettered_indexes(chunk.attempts, chunk.crash_indexes, len(chunk.qr_ids))
    with files.write(name) as out, ImageTimer() as timer:
        if job.output == "label_sheet":
            from shared.renders import label_sheets  # noqa: PLC0415 - loads reportlab and pdfium

            failed = label_sheets.write_part(
                out,
                job,
                codes,
                chunk.qr_ids,
                timer=timer,
                skipped=skipped_labels(job, chunk.first_index),
                dead_lettered=dead_lettered,
                alone=tracks_each_image(chunk.attempts),
                before_each=before_each,
            )
            return name, failed
        failed = zip_part.write_part(
            out,
            job,
            codes,
            chunk.qr_ids,
            first=chunk.first_index,
            total=job.total,
            at=job.created_at,
            timer=timer,
            dead_lettered=dead_lettered,
            before_each=before_each,
        )
        return name, failed


def assemble_file(
    files: Storage, job: Render, names: Sequence[str], token: UUID, heartbeat: Callable[[], None]
) -> tuple[str, int]:
    """Write the file of a render from its parts. Return its name and its size in bytes. Raise PartsMissing.

    `heartbeat` is called between parts. It ends the work by raising.
    """
    name = file_name(job, job.id, token)
    with files.write(name) as out:
        if job.output == "label_sheet":
            merger = PdfMerger(out)
            _for_each_part(names, lambda part: merger.add(b"".join(files.read(part))), files.size, heartbeat)
            return name, merger.finish()
        open_part = partial(ZipPart, files)
        parts = _for_each_part(names, open_part, open_part, heartbeat)
        return name, zip_part.assemble_zip(out, parts, job.created_at, heartbeat)


def _for_each_part(
    names: Sequence[str], use: Callable[[str], T], check: Callable[[str], object], heartbeat: Callable[[], None]
) -> list[T]:
    """Return what `use` returns for each part. Raise PartsMissing if any part is missing.

    After the first missing part, the others are only checked, so that all missing ones are reported together.
    """
    results: list[T] = []
    missing: list[str] = []
    for name in names:
        heartbeat()
        try:
            if missing:
                check(name)
            else:
                results.append(use(name))
        except FileMissing:
            missing.append(name)
    if missing:
        raise PartsMissing(missing)
    return results
