"""ZIP archives that are made in pieces and put together by copying (PKWARE APPNOTE 6.3.10, section numbers from there).

A worker writes entries with their local headers, one after the other, and remembers their records for the central
directory. To put pieces together is to copy them, and to write the records with their offsets moved: no picture is
looked at again, and memory holds one block, whatever the size of the archive, where zipfile and zipstream keep an
object for every entry. Pictures are stored, not deflated: a PNG does not get smaller.
"""

import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from isal import isal_zlib

from shared.infra.storage.base import Writer

LOCAL = struct.Struct("<IHHHHHIIIHH")  # 4.3.7
RECORD = struct.Struct("<IHHHHHHIIIHHHHHII")  # 4.3.12
END = struct.Struct("<IHHHHIIH")  # 4.3.16
END_64 = struct.Struct("<IQHHIIQQQQ")  # 4.3.14
LOCATOR_64 = struct.Struct("<IIQI")  # 4.3.15
EXTRA_64 = struct.Struct("<HHQ")  # 4.5.3, with an offset only

VERSION, VERSION_64 = 20, 45
MADE_ON_UNIX = 3 << 8
READABLE = 0o100644 << 16
UTF_8 = 1 << 11  # 4.4.4: names are UTF-8
MAX_16, MAX_32 = 0xFFFF, 0xFFFFFFFF
"""From these on, a number stands in a field of 64 bits."""


def dos_timestamp(at: datetime) -> tuple[int, int]:
    """A time as MS-DOS has it, in UTC: time and date (4.4.6)."""
    at = at.astimezone(UTC)
    return at.hour << 11 | at.minute << 5 | at.second // 2, max(at.year - 1980, 0) << 9 | at.month << 5 | at.day


class ZipSegment:
    """Entries that are written one after the other; `records` are theirs, with offsets from the piece's beginning."""

    def __init__(self, out: Writer, at: datetime) -> None:
        self._out = out
        self._time, self._date = dos_timestamp(at)
        self.written = 0
        self.records = bytearray()

    def add(self, name: str, data: bytes) -> None:
        """An entry of these bytes, of less than 4 GB."""
        self._begin(name, isal_zlib.crc32(data), len(data))
        self._write(data)

    def add_blocks(self, name: str, blocks: Iterable[bytes], checksum: int, size: int) -> None:
        """An entry of blocks whose CRC-32 and length, of less than 4 GB, are known."""
        self._begin(name, checksum, size)
        for block in blocks:
            self._write(block)

    def _begin(self, name: str, checksum: int, size: int) -> None:
        named = name.encode()
        about = (VERSION, UTF_8, 0, self._time, self._date, checksum, size, size, len(named), 0)
        offset = self.written
        self._write(LOCAL.pack(0x04034B50, *about) + named)
        self.records += RECORD.pack(0x02014B50, MADE_ON_UNIX | VERSION, *about, 0, 0, 0, READABLE, offset) + named

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)


def shift_offsets(records: bytes, by: int) -> Iterator[bytes]:
    """A piece's records, for an archive in which the piece begins at this byte."""
    place = 0
    while place < len(records):
        *fields, offset = RECORD.unpack_from(records, place)
        begin, place = place + RECORD.size, place + RECORD.size + fields[10]
        name = records[begin:place]
        offset += by
        extra = b""
        if offset >= MAX_32:
            extra = EXTRA_64.pack(1, 8, offset)
            fields[2], fields[11], offset = VERSION_64, len(extra), MAX_32
        yield RECORD.pack(*fields, offset) + name + extra


def end_of_central_directory(entries: int, start: int, size: int) -> bytes:
    """What follows the records: how many there are, where the first one begins, and how many bytes they take."""
    told = b""
    if entries >= MAX_16 or start >= MAX_32 or size >= MAX_32:
        told = END_64.pack(
            0x06064B50, END_64.size - 12, MADE_ON_UNIX | VERSION_64, VERSION_64, 0, 0, entries, entries, size, start
        ) + LOCATOR_64.pack(0x07064B50, 0, start + size, 1)
    few = min(entries, MAX_16)
    return told + END.pack(0x06054B50, 0, 0, few, few, min(size, MAX_32), min(start, MAX_32), 0)
