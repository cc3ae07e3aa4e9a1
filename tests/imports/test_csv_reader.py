"""Read files row by row. Errors name the line."""

import gzip
import tracemalloc
from io import BytesIO
from typing import Any

import pytest

from shared.errors import FieldError, Invalid
from shared.imports.csv_reader import MAX_ROW_BYTES, MAX_ROWS, open_csv

HEAD = b"scan_type,description\n"


def read(data: bytes) -> list[tuple[int, list[str]]]:
    return [(row.line, list(row.cells)) for row in open_csv(BytesIO(data)).rows]


def rejected(data: bytes) -> FieldError:
    with pytest.raises(Invalid) as raised:
        read(data)
    (error,) = raised.value.field_errors
    return error


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (HEAD, []),
        (HEAD.strip(), []),
        (HEAD + b"item_drop,a\n", [(2, ["item_drop", "a"])]),
        (b"\xef\xbb\xbf" + HEAD + "item_drop,é\r\n".encode(), [(2, ["item_drop", "é"])]),
        (b"scan_type;description\r\nitem_drop;a,b", [(2, ["item_drop", "a,b"])]),
        (b' "scan_type" , description \nx,\n'.replace(b' "scan_type" ', b'"scan_type"'), [(2, ["x", ""])]),
        (HEAD + b'x,"a ""b"""\n', [(2, ["x", 'a "b"'])]),
        (HEAD + b'x,"a\nb\r\nc\rd"\ny,\n', [(2, ["x", "a\nb\r\nc\rd"]), (5, ["y", ""])]),
        (HEAD + b"\n\r\n,\nx,\n\n", [(5, ["x", ""])]),
        (HEAD + b'x,a"b\n', [(2, ["x", 'a"b'])]),
        (HEAD + b"x\n", [(2, ["x"])]),
        (HEAD + b"x,a,b,c,d\n", [(2, ["x", "a", "b"])]),
        (HEAD + b"x,a,,\n", [(2, ["x", "a", ""])]),
        (b"scan_type,description,, \nx,a,,\ny,b\nz,c,\n", [(2, ["x", "a"]), (3, ["y", "b"]), (4, ["z", "c"])]),
        (b"scan_type,description,,\nx,a,b,\ny,b,,,\n", [(2, ["x", "a", "b"]), (3, ["y", "b", ""])]),
        (b"\xef\xbb\xbfsep=;\r\nscan_type;description\r\nx;a,b\r\n", [(3, ["x", "a,b"])]),
        (b"SEP=,\nscan_type,description\nx,a;b\n", [(3, ["x", "a;b"])]),
        (b"scan_type;offline_hours;answer_within_hours\nx;0,5;1,5\n", [(2, ["x", "0.5", "1.5"])]),
        (b"sep=\t\nscan_type\tlatitude\nx\t52,37\n", [(3, ["x", "52.37"])]),
        (b"scan_type\tdescription\nx\ta,b\n", [(2, ["x", "a,b"])]),
        (b"scan_type|tags\nx|a\n", [(2, ["x", "a"])]),
        ("\u200bscan_type\xa0,description\n \xa0,\u200b\n,\nx,a\n".encode(), [(4, ["x", "a"])]),
        (b"scan_type;latitude;max_scans\nx; -4,5 ;1,5\n", [(2, ["x", " -4.5 ", "1,5"])]),
        (b"scan_type;latitude;radius_m\nx;1.234,5;1,2,3\n", [(2, ["x", "1.234,5", "1,2,3"])]),
        (b'scan_type,latitude\nx,"52,37"\n', [(2, ["x", "52,37"])]),
    ],
)
def test_rows_of_a_file(data: bytes, rows: list[Any]) -> None:
    assert read(data) == rows


@pytest.mark.parametrize(
    ("data", "loc", "words"),
    [
        (b"", "body", "no header"),
        (b"\n", "body", "no header"),
        (b"item_drop,hello\n", "body", "unknown columns: 'item_drop', 'hello'"),
        (b"scan_type,nmae,id\n", "body", "unknown columns: 'nmae', 'id'"),
        (b"scan_type,,code\n", "body", "unknown columns: ''"),
        (b",,\n", "body", "no column scan_type"),
        (b"sep=;\n", "body", "no header"),
        (b"sep=;\nscan_type;nmae\n", "body", "unknown columns: 'nmae'"),
        (b"sep=;\n" + HEAD.replace(b",", b";") + b'x;"a"b\n', "body.lines.3", "follows a closing quote"),
        (b"scan_type," + b",".join(b"c%d" % n for n in range(10_000)), "body", "and 9,995 more"),
        (b"scan_type,code,code,scan_type\n", "body", "more than once: code, scan_type"),
        (b"code\n", "body", "no column scan_type"),
        (b"PK\x03\x04\x14\x00", "body", "ZIP archive"),
        (HEAD + "x,é\n".encode("latin-1"), "body.lines.2", "not text in UTF-8"),
        (HEAD + b"x,a\nx,b\x00c\n", "body.lines.3", "not text in UTF-8"),
        ("scan_type\nx\n".encode("utf-16"), "body", "This is UTF-16, which Excel calls Unicode Text"),
        (b"\xfe\xff" + "scan_type\n".encode("utf-16-be"), "body", "This is UTF-16"),
        ("scan_type\nx\n".encode("utf-16-le"), "body.lines.1", "not text in UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 9, "body", "workbook of an old Excel (.xls)"),
        (gzip.compress(HEAD, mtime=0), "body", "compressed with gzip"),
        (HEAD + b'x,a\nx,"never closed\nx,b\n', "body.lines.3", "never closed"),
        (HEAD + b'x,"a"b\n', "body.lines.2", "follows a closing quote"),
        (b"scan_type,description\rx,a\r", "body.lines.1", "carriage return without"),
        (HEAD + b"x,a\rx,b\n", "body.lines.2", "carriage return without"),
        (HEAD + b"x," + b"a" * MAX_ROW_BYTES + b"\n", "body.lines.2", "longer than 3,145,728 bytes"),
        (HEAD + b'x,"' + (b"a" * 99 + b"\n") * 32_000, "body.lines.2", "A closing quote may be missing"),
        (b"," * (10 * 2**20), "body.lines.1", "longer than"),
        (HEAD + b"x,\n" * (MAX_ROWS + 1), "body", "more than 100,000 rows"),
        (HEAD + b"\n" * (MAX_ROWS + 2), "body", "more than 100,000 rows"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_invalid_files_name_the_line(data: bytes, loc: str, words: str) -> None:
    error = rejected(data)

    assert error.loc == loc
    assert words in error.message
    assert len(error.message) < 700


def test_the_maximum_of_rows() -> None:
    assert len(read(HEAD + b"x,\n" * MAX_ROWS + b"\n\n")) == MAX_ROWS


@pytest.mark.parametrize(
    "data",
    [
        HEAD + (b"item_drop," + b"station " * 40 + b"\n") * 25_000,
        HEAD + b'x,"' + (b"a" * 99 + b"\n") * 100_000,
        HEAD + (b"x" + b"," * 100_000 + b"\n") * 80,
        b"," * 10_000_000,
    ],
    ids=["long", "unclosed", "wide", "commas"],
)
def test_memory_does_not_grow_with_the_file(data: bytes) -> None:
    file = BytesIO(data)
    tracemalloc.start()
    try:
        for _ in open_csv(file).rows:
            pass
    except Invalid:
        pass
    finally:
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 8 * MAX_ROW_BYTES
