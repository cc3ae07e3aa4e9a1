"""What a worker makes of a chunk, and of the parts of a render. Importing this loads the renderer."""

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
from shared.renders.pdf_merge import PdfMerger
from shared.renders.rules import Render, dead_lettered_indexes, file_name, part_name, tracks_each_image
from shared.renders.store import FailedCode
from shared.renders.zip_part import ZipPart

T = TypeVar("T")
ProgressCallback = Callable[[int | None], None]


class PartsMissing(Exception):
    """Parts are not in the storage, or not whole; `names` says which."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(*names)
        self.names = names


@cache
def warm_up() -> None:
    """Load what a process's first picture loads, so that it is in hand no longer than the others are."""
    picture = ImageSpec("warm", size=MIN_SIZE)
    is_readable(picture, render(picture))


def render_part(
    files: Storage,
    job: Render,
    chunk: Chunk,
    codes: Sequence[ChunkCode | None],
    token: UUID,
    before_each: ProgressCallback,
) -> tuple[str, list[FailedCode]]:
    """Write a chunk's part into the storage. Returns its name, and the codes that have no picture in it."""
    name = part_name(job.id, chunk.number, token)
    aside = dead_lettered_indexes(chunk.attempts, chunk.crash_indexes, len(chunk.qr_ids))
    with files.write(name) as out:
        if job.output == "label_sheet":
            from shared.renders import label_sheets  # noqa: PLC0415 - loads reportlab and pdfium

            failed = label_sheets.write_part(
                out,
                job,
                codes,
                chunk.qr_ids,
                aside=aside,
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
            aside=aside,
            before_each=before_each,
        )
        return name, failed


def assemble_file(
    files: Storage, job: Render, names: Sequence[str], token: UUID, beat: Callable[[], None]
) -> tuple[str, int]:
    """Write the render's file from its parts. Returns its name and its length. Raises PartsMissing."""
    name = file_name(job, job.id, token)
    with files.write(name) as out:
        if job.output == "label_sheet":
            merger = PdfMerger(out)
            _for_each_part(names, lambda part: merger.add(b"".join(files.read(part))), files.size, beat)
            return name, merger.finish()
        look = partial(ZipPart, files)
        parts = _for_each_part(names, look, look, beat)
        return name, zip_part.assemble_zip(out, parts, job.created_at, beat)


def _for_each_part(
    names: Sequence[str], use: Callable[[str], T], look_for: Callable[[str], object], beat: Callable[[], None]
) -> list[T]:
    """What `use` gives for each part; from the first that is missing on, parts are only looked for. Raises
    PartsMissing."""
    used: list[T] = []
    missing: list[str] = []
    for name in names:
        beat()
        try:
            if missing:
                look_for(name)
            else:
                used.append(use(name))
        except FileMissing:
            missing.append(name)
    if missing:
        raise PartsMissing(missing)
    return used
