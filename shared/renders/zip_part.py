"""Parts of a ZIP: each image of a chunk is rendered, decoded from its bytes, and written.

A part consists of a segment of the archive, its records, its lines of the manifest, and the length of each. Importing
this module loads the renderer.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import psycopg
from isal import isal_zlib

from shared.errors import DomainError, Invalid, LogoChanged, NotFound, UnreadableImage
from shared.images.code_url import code_url
from shared.images.readback import is_readable
from shared.images.render import render
from shared.infra import db
from shared.infra.logging import get_logger
from shared.infra.storage.base import FileMissing, Storage, Writer
from shared.renders import chunk_codes, manifest, zip_writer
from shared.renders.chunk_codes import ChunkCode, LogoCache
from shared.renders.image_timer import ImageTimer
from shared.renders.rules import Render, RenderOptions, image_name
from shared.renders.store import FailedCode

log = get_logger()

T = TypeVar("T")

LENGTHS = struct.Struct("<QQQ")
MAX_RELOADS = 3
"""How often a code is loaded again, if its logo is replaced meanwhile."""
DELETED = "This code has been deleted."
DEAD_LETTERED = "Three workers crashed or hung while they rendered this image."
UNREADABLE = "This image cannot be decoded. Choose a larger size."
INTERNAL_ERROR = "This image could not be rendered."


def render_verified(options: RenderOptions, code: ChunkCode, logos: LogoCache) -> bytes:
    """Return the image as the image endpoint serves it, decoded first whatever its appearance. Raise DomainError."""
    spec = code.customization.image_spec(code.url, options.format, options.size, options.error_correction)
    data = render(spec, logos.get(code))
    if not is_readable(spec, data):
        raise UnreadableImage
    return data


def with_current_logo(job: Render, code: ChunkCode, use: Callable[[ChunkCode], T]) -> tuple[ChunkCode, T]:
    """Return the code and the result of `use` for it. If its logo was replaced, the code is loaded again first.

    Raise what `use` raises, and NotFound if the code has been deleted.
    """
    for _ in range(MAX_RELOADS):
        try:
            return code, use(code)
        except LogoChanged:
            with db.connection() as conn:
                (reloaded,) = chunk_codes.codes(conn, job.id, [code.id])
            if reloaded is None:
                raise NotFound(DELETED) from None
            code = reloaded
    return code, use(code)


def write_part(
    out: Writer,
    job: Render,
    codes: Sequence[ChunkCode | None],
    qr_ids: Sequence[UUID],
    *,
    first: int,
    total: int,
    at: datetime,
    timer: ImageTimer,
    dead_lettered: frozenset[int],
    before_each: Callable[[int], None],
) -> list[FailedCode]:
    """Write the part of a chunk. Return the codes without an image in it.

    `first` is the index of the first code among the `total` codes of the render. `before_each` gets the index of the
    next image in the chunk, and ends the work by raising.
    """
    logos, failed = LogoCache(), []
    segment, lines = zip_writer.ZipSegment(out, at), bytearray()
    for index, (qr_id, loaded) in enumerate(zip(qr_ids, codes, strict=True)):
        before_each(index)
        name, code = "", loaded
        message = DEAD_LETTERED if index in dead_lettered else DELETED if code is None else ""
        if code is not None and not message:
            try:
                code, data = with_current_logo(job, code, partial(_render_in_time, timer, job, logos))
            except psycopg.Error:
                raise
            except Exception as error:  # noqa: BLE001 - one image must not fail the others
                message = error_message(error, qr_id)
            else:
                name = image_name(first + index, total, code.text, job.format)
                segment.add(name, data)
        if message:
            failed.append(FailedCode(qr_id, message))
        cells = (code.text, code.description, code_url(code.text)) if code else ("", "", "")
        lines += manifest.csv_row((name, str(qr_id), *cells, message))
    out.write(bytes(segment.records))
    out.write(bytes(lines))
    out.write(LENGTHS.pack(segment.written, len(segment.records), len(lines)))
    return failed


def _render_in_time(timer: ImageTimer, job: Render, logos: LogoCache, code: ChunkCode) -> bytes:
    # The logo is cached before the time limit starts, which must not interrupt a statement of PostgreSQL.
    logos.get(code)
    with timer.limit_image():
        return render_verified(job, code, logos)


def error_message(error: Exception, qr_id: UUID) -> str:
    """Return the message for staff about an image that could not be rendered. Log an unexpected error."""
    if isinstance(error, UnreadableImage):
        return UNREADABLE
    if isinstance(error, Invalid) and error.field_errors:
        return f"The image cannot be rendered. {error.field_errors[0].message}"
    if isinstance(error, DomainError):
        return str(error)
    log.error("image_failed", qr_id=str(qr_id), exc_info=error)
    return INTERNAL_ERROR


class ZipPart:
    """A part in the storage. Raise FileMissing if it is missing or truncated."""

    def __init__(self, files: Storage, name: str) -> None:
        self._files, self._name = files, name
        size = files.size(name)
        tail = b"".join(files.read(name, max(0, size - LENGTHS.size)))
        self.entries, self.records, self.lines = LENGTHS.unpack(tail) if len(tail) == LENGTHS.size else (0, 0, 0)
        if self.entries + self.records + self.lines + LENGTHS.size != size:
            raise FileMissing("A part is truncated.")

    def read_entries(self) -> Iterator[bytes]:
        return self._files.read(self._name, 0, self.entries)

    def read_records(self) -> bytes:
        return b"".join(self._files.read(self._name, self.entries, self.entries + self.records))

    def read_lines(self) -> Iterator[bytes]:
        start = self.entries + self.records
        return self._files.read(self._name, start, start + self.lines)


def assemble_zip(out: Writer, parts: Sequence[ZipPart], at: datetime, heartbeat: Callable[[], None]) -> int:
    """Write the archive: images, manifest, records. Return its size in bytes.

    `heartbeat` is called between parts. It ends the work by raising.
    """
    written = 0
    for part in parts:
        heartbeat()
        for block in part.read_entries():
            out.write(block)
        written += part.entries
    checksum, size = 0, 0
    for block in _manifest(parts, heartbeat):
        checksum, size = isal_zlib.crc32(block, checksum), size + len(block)
    manifest_segment = zip_writer.ZipSegment(out, at)
    manifest_segment.add_blocks("manifest.csv", _manifest(parts, heartbeat), checksum, size)
    start, records, entries, begin = written + manifest_segment.written, 0, 0, 0
    for part in parts:
        heartbeat()
        for record in zip_writer.shift_offsets(part.read_records(), begin):
            out.write(record)
            records, entries = records + len(record), entries + 1
        begin += part.entries
    for record in zip_writer.shift_offsets(bytes(manifest_segment.records), begin):
        out.write(record)
        records, entries = records + len(record), entries + 1
    end = zip_writer.end_of_central_directory(entries, start, records)
    out.write(end)
    return start + records + len(end)


def _manifest(parts: Sequence[ZipPart], heartbeat: Callable[[], None]) -> Iterator[bytes]:
    yield manifest.HEADER
    for part in parts:
        heartbeat()
        yield from part.read_lines()
