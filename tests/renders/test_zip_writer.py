"""Archives that are concatenated from segments are readable by zipfile, whatever their size."""

import zipfile
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.renders import manifest, zip_writer

NOON = datetime(2026, 2, 12, 12, 0, 30, tzinfo=UTC)
Entries = list[tuple[str, bytes]]


def build(parts: list[Entries]) -> bytes:
    out, segments = BytesIO(), []
    for entries in parts:
        segment = zip_writer.ZipSegment(out, NOON)
        for name, data in entries:
            segment.add(name, data)
        segments.append(segment)
    start, begin, count, size = out.tell(), 0, 0, 0
    for segment in segments:
        for record in zip_writer.shift_offsets(bytes(segment.records), begin):
            out.write(record)
            count, size = count + 1, size + len(record)
        begin += segment.written
    out.write(zip_writer.end_of_central_directory(count, start, size))
    return out.getvalue()


def read(data: bytes) -> Entries:
    with zipfile.ZipFile(BytesIO(data)) as opened:
        assert opened.testzip() is None
        return [(info.filename, opened.read(info)) for info in opened.infolist()]


NAMES = st.text("abcxyz019_-", min_size=1, max_size=20)
PARTS = st.lists(st.lists(st.tuples(NAMES, st.binary(max_size=60)), max_size=8), max_size=5)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(PARTS)
def test_an_archive_contains_all_entries_in_order(parts: list[Entries]) -> None:
    assert read(build(parts)) == [entry for entries in parts for entry in entries]


def test_an_archive_beyond_four_gigabytes(tmp_path: Path) -> None:
    # All but the end is a hole in the file.
    far = 5_000_000_000
    with (tmp_path / "large.zip").open("wb") as out:
        out.seek(far)
        segment = zip_writer.ZipSegment(out, NOON)
        for n in range(3):
            segment.add(f"{n}.png", bytes([n]) * 50)
        records = b"".join(zip_writer.shift_offsets(bytes(segment.records), far))
        out.write(records)
        out.write(zip_writer.end_of_central_directory(3, far + segment.written, len(records)))
    with zipfile.ZipFile(tmp_path / "large.zip") as opened:
        assert [opened.read(f"{n}.png") for n in range(3)] == [bytes([n]) * 50 for n in range(3)]


def test_a_record_of_a_segment_beyond_four_gigabytes() -> None:
    out = BytesIO()
    segment = zip_writer.ZipSegment(out, NOON)
    segment.add("a.png", b"data")

    (record,) = zip_writer.shift_offsets(bytes(segment.records), 5_000_000_000)

    fields = zip_writer.RECORD.unpack_from(record)
    assert (fields[2], fields[11], fields[-1]) == (zip_writer.VERSION_64, 12, zip_writer.MAX_32)
    assert zip_writer.EXTRA_64.unpack(record[-12:]) == (1, 8, 5_000_000_000)


def test_more_than_65535_entries() -> None:
    data = build([[(f"{k}-{n}.png", b"x") for n in range(33_000)] for k in range(2)])

    with zipfile.ZipFile(BytesIO(data)) as opened:
        names = opened.namelist()
        assert (len(names), names[-1]) == (66_000, "1-32999.png")
        assert opened.read(names[-1]) == b"x"


def test_entries_have_the_time_of_the_render() -> None:
    with zipfile.ZipFile(BytesIO(build([[("a.png", b"")]]))) as opened:
        assert opened.infolist()[0].date_time == (2026, 2, 12, 12, 0, 30)


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_manifest_escapes_formulas(cell: str) -> None:
    assert manifest.csv_row([cell]).strip(b'"\r\n').startswith(b"'")
