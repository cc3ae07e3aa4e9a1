"""One chunk of a ZIP: each picture drawn, read back from its bytes, and written. Importing this loads the renderer.

A part is the chunk's piece of the archive, its records, its lines of the manifest, and the length of each.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
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
from shared.renders.rules import Render, RenderOptions, image_name
from shared.renders.store import FailedCode

log = get_logger()

T = TypeVar("T")

LENGTHS = struct.Struct("<QQQ")
MAX_RELOADS = 3
"""How often a code whose logo is replaced meanwhile is loaded again."""
DELETED = "This code has been deleted."
SET_ASIDE = "This picture was set aside: workers died while they drew it."
UNREADABLE = "This picture cannot be read back; a larger one may be."
DEFECT = "This picture could not be drawn."


def render_verified(asked: RenderOptions, code: ChunkCode, logos: LogoCache) -> bytes:
    """The picture as the image endpoint gives it, decoded again whatever it looks like. Raises DomainError."""
    picture = code.customization.image_spec(code_url(code.text), asked.format, asked.size, asked.error_correction)
    data = render(picture, logos.get(code))
    if not is_readable(picture, data):
        raise UnreadableImage
    return data


def with_current_logo(render: Render, code: ChunkCode, draw: Callable[[ChunkCode], T]) -> tuple[ChunkCode, T]:
    """What `draw` makes of a code, and the code: loaded again where its logo has been replaced since it was loaded.

    Raises what `draw` raises, and NotFound where the code has been deleted since.
    """
    for _ in range(MAX_RELOADS):
        try:
            return code, draw(code)
        except LogoChanged:
            with db.connection() as conn:
                (found,) = chunk_codes.codes(conn, render.id, [code.id])
            if found is None:
                raise NotFound(DELETED) from None
            code = found
    return code, draw(code)


def write_part(
    out: Writer,
    asked: Render,
    codes: Sequence[ChunkCode | None],
    qr_ids: Sequence[UUID],
    *,
    first: int,
    total: int,
    at: datetime,
    aside: frozenset[int],
    before_each: Callable[[int], None],
) -> list[FailedCode]:
    """Write a chunk's part; returns the codes that have no picture in it. `before_each` may end it by raising."""
    logos, failed = LogoCache(), []
    piece, lines = zip_writer.ZipSegment(out, at), bytearray()
    for place, (qr_id, loaded) in enumerate(zip(qr_ids, codes, strict=True)):
        before_each(place)
        name, code = "", loaded
        message = SET_ASIDE if place in aside else DELETED if code is None else ""
        if code is not None and not message:
            try:
                code, data = with_current_logo(asked, code, lambda code: render_verified(asked, code, logos))
            except psycopg.Error:
                raise
            except Exception as error:  # noqa: BLE001 - one picture takes none along
                message = told(error, qr_id)
            else:
                name = image_name(first + place, total, code.text, asked.format)
                piece.add(name, data)
        if message:
            failed.append(FailedCode(qr_id, message))
        about = (code.text, code.description, code_url(code.text)) if code else ("", "", "")
        lines += manifest.csv_row((name, str(qr_id), *about, message))
    out.write(bytes(piece.records))
    out.write(bytes(lines))
    out.write(LENGTHS.pack(piece.written, len(piece.records), len(lines)))
    return failed


def told(error: Exception, qr_id: UUID) -> str:
    """What staff are told of a picture that could not be made. What is no refusal of ours goes to the log."""
    if isinstance(error, UnreadableImage):
        return UNREADABLE
    if isinstance(error, Invalid) and error.faults:
        return f"The picture's {error.faults[0].loc} {error.faults[0].message}."
    if isinstance(error, DomainError):
        return str(error)
    log.error("image_failed", qr_id=str(qr_id), exc_info=error)
    return DEFECT


class ZipPart:
    """A chunk's part in the storage. Raises FileMissing where it is not there, or not whole."""

    def __init__(self, files: Storage, name: str) -> None:
        self._files, self._name = files, name
        size = files.size(name)
        tail = b"".join(files.read(name, max(0, size - LENGTHS.size)))
        self.entries, self.records, self.lines = LENGTHS.unpack(tail) if len(tail) == LENGTHS.size else (0, 0, 0)
        if self.entries + self.records + self.lines + LENGTHS.size != size:
            raise FileMissing("A part is not whole.")

    def read_entries(self) -> Iterator[bytes]:
        return self._files.read(self._name, 0, self.entries)

    def read_records(self) -> bytes:
        return b"".join(self._files.read(self._name, self.entries, self.entries + self.records))

    def read_lines(self) -> Iterator[bytes]:
        start = self.entries + self.records
        return self._files.read(self._name, start, start + self.lines)


def assemble_zip(out: Writer, parts: Sequence[ZipPart], at: datetime, beat: Callable[[], None]) -> int:
    """Write the archive: pictures, manifest, records. `beat` is called between parts and may end it by raising. Returns
    how many bytes it has."""
    written = 0
    for part in parts:
        beat()
        for block in part.read_entries():
            out.write(block)
        written += part.entries
    checksum, size = 0, 0
    for block in _manifest(parts, beat):
        checksum, size = isal_zlib.crc32(block, checksum), size + len(block)
    last = zip_writer.ZipSegment(out, at)
    last.add_blocks("manifest.csv", _manifest(parts, beat), checksum, size)
    start, records, entries, begin = written + last.written, 0, 0, 0
    for part in parts:
        beat()
        for record in zip_writer.shift_offsets(part.read_records(), begin):
            out.write(record)
            records, entries = records + len(record), entries + 1
        begin += part.entries
    for record in zip_writer.shift_offsets(bytes(last.records), begin):
        out.write(record)
        records, entries = records + len(record), entries + 1
    ending = zip_writer.end_of_central_directory(entries, start, records)
    out.write(ending)
    return start + records + len(ending)


def _manifest(parts: Sequence[ZipPart], beat: Callable[[], None]) -> Iterator[bytes]:
    yield manifest.HEADER
    for part in parts:
        beat()
        yield from part.read_lines()
