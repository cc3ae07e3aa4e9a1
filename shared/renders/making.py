"""What a worker makes of a chunk, and of the parts of a render. Importing this loads the renderer."""

from collections.abc import Callable, Sequence
from functools import cache
from uuid import UUID

from shared.files.storage import FileMissing, Storage
from shared.images.picture import MIN_SIZE, Picture
from shared.images.readback import reads_back
from shared.images.render import render
from shared.renders import pictures
from shared.renders.chunks import Chunk
from shared.renders.content import Code
from shared.renders.pdfs import Merger
from shared.renders.pictures import Part
from shared.renders.rules import Render, file_name, part_name, set_aside
from shared.renders.store import Failed

BeforeEach = Callable[[int], None]


class PartMissing(Exception):
    """A part is not in the storage, or not whole; `name` says which."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@cache
def warm_up() -> None:
    """Load what a process's first picture loads, so that it is in hand no longer than the others are."""
    picture = Picture("warm", size=MIN_SIZE)
    reads_back(picture, render(picture))


def draw_part(
    files: Storage, job: Render, chunk: Chunk, codes: Sequence[Code | None], token: UUID, before_each: BeforeEach
) -> tuple[str, list[Failed]]:
    """Write a chunk's part into the storage. Returns its name, and the codes that have no picture in it."""
    name = part_name(job.id, chunk.number, token)
    aside = set_aside(chunk.attempts, chunk.strikes, len(chunk.qr_ids))
    with files.write(name) as out:
        if job.output == "label_sheet":
            from shared.renders import sheets  # noqa: PLC0415 - loads reportlab and pdfium

            return name, sheets.write_part(out, job, codes, chunk.qr_ids, aside=aside, before_each=before_each)
        failed = pictures.write_part(
            out,
            job,
            codes,
            chunk.qr_ids,
            first=chunk.first,
            total=job.total,
            at=job.created_at,
            aside=aside,
            before_each=before_each,
        )
        return name, failed


def put_together(
    files: Storage, job: Render, names: Sequence[str], token: UUID, beat: Callable[[], None]
) -> tuple[str, int]:
    """Write the render's file from its parts. Returns its name and its length. Raises PartMissing."""
    name = file_name(job, job.id, token)
    with files.write(name) as out:
        if job.output == "label_sheet":
            merger = Merger(out)
            for part in names:
                beat()
                merger.add(_whole(files, part))
            return name, merger.finish()
        parts = []
        for part in names:
            beat()
            parts.append(_part(files, part))
        return name, pictures.put_together(out, parts, job.created_at, beat)


def _part(files: Storage, name: str) -> Part:
    try:
        return Part(files, name)
    except FileMissing:
        raise PartMissing(name) from None


def _whole(files: Storage, name: str) -> bytes:
    try:
        return b"".join(files.read(name))
    except FileMissing:
        raise PartMissing(name) from None
