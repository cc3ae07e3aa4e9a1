"""ZIP archives in segments that are concatenated (PKWARE APPNOTE 6.3.10; comments name its sections).

A worker writes entries with their local headers, and collects their records of the central directory. To join segments,
their bytes are copied and the offsets in their records are shifted. No image is read again, and memory holds one block,
whatever the size of the archive. zipfile and zipstream hold an object per entry. Images are stored without compression,
which would not make a PNG smaller.
"""

import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from isal import isal_zlib

from shared.infra.storage.base import Writer

# 4.3.7
LOCAL = struct.Struct("<IHHHHHIIIHH")
# 4.3.12
RECORD = struct.Struct("<IHHHHHHIIIHHHHHII")
# 4.3.16
END = struct.Struct("<IHHHHIIH")
# 4.3.14
END_64 = struct.Struct("<IQHHIIQQQQ")
# 4.3.15
LOCATOR_64 = struct.Struct("<IIQI")
# 4.5.3, with an offset only
EXTRA_64 = struct.Struct("<HHQ")

VERSION, VERSION_64 = 20, 45
MADE_ON_UNIX = 3 << 8
READABLE = 0o100644 << 16
# 4.4.4: names are UTF-8.
UTF_8 = 1 << 11
MAX_16, MAX_32 = 0xFFFF, 0xFFFFFFFF
"""From these values on, a number is written to a field of 64 bits."""


def dos_timestamp(at: datetime) -> tuple[int, int]:
    """Return time and date in the format of MS-DOS, in UTC (4.4.6)."""
    at = at.astimezone(UTC)
    return at.hour << 11 | at.minute << 5 | at.second // 2, max(at.year - 1980, 0) << 9 | at.month << 5 | at.day


class ZipSegment:
    """Writes entries one after the other. `records` describe them, with offsets from the beginning of the segment."""

    def __init__(self, out: Writer, at: datetime) -> None:
        self._out = out
        self._time, self._date = dos_timestamp(at)
        self.written = 0
        self.records = bytearray()

    def add(self, name: str, data: bytes) -> None:
        """Add an entry of less than 4 GB."""
        self._write_header(name, isal_zlib.crc32(data), len(data))
        self._write(data)

    def add_blocks(self, name: str, blocks: Iterable[bytes], checksum: int, size: int) -> None:
        """Add an entry of less than 4 GB in blocks. Its CRC-32 and its size must be known."""
        self._write_header(name, checksum, size)
        for block in blocks:
            self._write(block)

    def _write_header(self, name: str, checksum: int, size: int) -> None:
        encoded = name.encode()
        fields = (VERSION, UTF_8, 0, self._time, self._date, checksum, size, size, len(encoded), 0)
        offset = self.written
        self._write(LOCAL.pack(0x04034B50, *fields) + encoded)
        self.records += RECORD.pack(0x02014B50, MADE_ON_UNIX | VERSION, *fields, 0, 0, 0, READABLE, offset) + encoded

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)


def shift_offsets(records: bytes, by: int) -> Iterator[bytes]:
    """Yield the records of a segment for an archive in which the segment starts at this byte."""
    position = 0
    while position < len(records):
        *fields, offset = RECORD.unpack_from(records, position)
        begin, position = position + RECORD.size, position + RECORD.size + fields[10]
        name = records[begin:position]
        offset += by
        extra = b""
        if offset >= MAX_32:
            extra = EXTRA_64.pack(1, 8, offset)
            fields[2], fields[11], offset = VERSION_64, len(extra), MAX_32
        yield RECORD.pack(*fields, offset) + name + extra


def end_of_central_directory(entries: int, start: int, size: int) -> bytes:
    """Return the end of an archive: number of records, offset of the first one, and their total size in bytes."""
    end_64 = b""
    if entries >= MAX_16 or start >= MAX_32 or size >= MAX_32:
        end_64 = END_64.pack(
            0x06064B50, END_64.size - 12, MADE_ON_UNIX | VERSION_64, VERSION_64, 0, 0, entries, entries, size, start
        ) + LOCATOR_64.pack(0x07064B50, 0, start + size, 1)
    count = min(entries, MAX_16)
    return end_64 + END.pack(0x06054B50, 0, 0, count, count, min(size, MAX_32), min(start, MAX_32), 0)
