"""Tables on terminals of any width."""

import io

import pytest
from rich.console import Console

from workers.cli.tables import write

ROWS = [
    {"id": "01a223f3-23d6-76c2-bbdc-f8d01913643d", "name": "ada", "rows": 1, "description": "a long text " * 5},
    {"id": "01a223f3-548d-7f48-a6a7-921f30f0965d", "name": "門", "rows": 12_000, "description": None},
]


def written(width: int, capsys: pytest.CaptureFixture[str], *, terminal: bool = True) -> str:
    stream = io.StringIO()
    write(ROWS, Console(file=stream, width=width, force_terminal=terminal, color_system=None))
    return capsys.readouterr().out + stream.getvalue()


def test_file_has_a_line_for_each_row_without_spaces_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    title, ada, cjk = written(40, capsys, terminal=False).splitlines()
    assert title == f"{'ID':36}  Name    Rows  Description"
    assert ada.endswith("  ada        1  a long text a long text a long text a long text a long text")
    assert cjk.endswith("  門    12,000  -")


def test_wide_terminal_shows_the_table_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(200, capsys) == written(40, capsys, terminal=False)


def test_narrow_terminal_breaks_texts_but_no_ids(capsys: pytest.CaptureFixture[str]) -> None:
    output = written(80, capsys)
    assert output.count("01a223f3-23d6-76c2-bbdc-f8d01913643d  ada        1  a long text") == 1
    assert max(map(len, output.splitlines())) <= 80


def test_narrowest_terminal_shows_a_block_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    lines = written(60, capsys).splitlines()
    assert [line.split()[0] for line in lines if line.strip()] == [
        "ID", "Name", "Rows", "Description", "a", "ID", "Name", "Rows", "Description",
    ]  # fmt: skip
