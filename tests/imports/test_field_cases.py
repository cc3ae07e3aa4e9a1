"""Files of bug reports about other projects, as spreadsheets save them, each with the right outcome."""

from pathlib import Path
from typing import Any

import pytest

from shared.infra.db import Conn
from tests.cases.files import HERE
from tests.imports.factories import export, stored, upload
from tests.imports.test_export import codes
from tests.support.callers import Staff


def sheet(name: str) -> bytes:
    return Path(HERE / "csv" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "prefix"), [("w01-excel-de-utf8.csv", "w01-"), ("w01-sep-line.csv", "w01s-"), ("w01-sep-tab.csv", "w01t-")]
)
def test_excel_with_european_settings(client: Any, staff: Staff, name: str, prefix: str) -> None:
    """A byte order mark, CRLF, decimal commas, TRUE, and semicolons or tabs between cells."""
    response = upload(client, staff, sheet(name))

    assert response.status_code == 201, response.json
    added = codes(client, staff)
    assert all(code.startswith(prefix) for code in added)
    munster = next(code for text, code in added.items() if text.endswith("munster"))
    assert (munster["latitude"], munster["requires_location"]) == (51.9625, True)
    assert "Münster" in munster["description"]


@pytest.mark.parametrize("query", ["", "?partial=true"])
@pytest.mark.parametrize(
    ("name", "loc", "words"),
    [("w02-utf16le-tab.csv", "body", "Unicode Text"), ("w03-cp1252.csv", "body.lines.3", "Save the file as CSV UTF-8")],
)
def test_other_encodings_say_what_to_do(
    client: Any, conn: Conn, staff: Staff, name: str, loc: str, words: str, query: str
) -> None:
    response = upload(client, staff, sheet(name), query=query)

    (error,) = response.json["errors"]
    assert (response.status_code, error["loc"]) == (422, loc)
    assert words in error["message"]
    assert stored(conn) == set()


def test_an_encoding_error_behind_many_rows_is_found(client: Any, conn: Conn, staff: Staff) -> None:
    head, _, rest = sheet("w03-cp1252.csv").partition(b"\n")
    ascii_row, _, others = rest.partition(b"\n")
    data = b"\n".join([head, *(ascii_row.replace(b"w03", b"w03%d" % n, 1) for n in range(1_200)), others])

    response = upload(client, staff, data, query="?partial=true")

    assert (response.status_code, response.json["errors"][0]["loc"]) == (422, "body.lines.1202")
    assert stored(conn) == set()


@pytest.mark.parametrize(
    ("name", "expected"), [("w04-blank-tail.csv", {"w04-a", "w04-b"}), ("w04-blank-spaces.csv", {"w04-c"})]
)
def test_emptied_rows_and_columns_are_passed_over(
    client: Any, conn: Conn, staff: Staff, name: str, expected: set[str]
) -> None:
    response = upload(client, staff, sheet(name))

    assert (response.status_code, response.json["total"]) == (201, len(expected))
    assert stored(conn) == expected


def test_a_description_of_several_lines_survives(client: Any, staff: Staff) -> None:
    refused = upload(client, staff, sheet("w05-multiline.csv"))
    assert [error["loc"] for error in refused.json["errors"]] == ["body.lines.7.reward_quantity"]

    assert upload(client, staff, sheet("w05-multiline.csv"), query="?partial=true").json["done"] == 2
    before = codes(client, staff)
    assert max(code["description"].count("\n") for code in before.values()) == 3

    again = export(client, staff).data.replace(b"w05-", b"again-")
    assert upload(client, staff, again).status_code == 201
    after = codes(client, staff)
    for text, code in before.items():
        assert after[text.replace("w05-", "again-")]["description"] == code["description"]


def test_mangled_numbers_and_codes_are_named_and_never_guessed(client: Any, conn: Conn, staff: Staff) -> None:
    response = upload(client, staff, sheet("w06-mangled.csv"), query="?partial=true")

    failed = {row["line"]: (row["field"], row["message"]) for row in response.json["rows"] if row["status"] == "failed"}
    assert stored(conn) == {"w06-ok"}
    assert {line: field for line, (field, _) in failed.items()} == {
        2: "code",
        3: "latitude",
        4: "latitude",
        5: "code",
        6: "code",
        7: "latitude",
        8: "latitude",
        9: "reward_quantity",
    }
    for _, message in failed.values():
        assert "^" not in message
        assert "[" not in message


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/vnd.ms-excel", 201),
        ("text/csv; charset=utf8", 201),
        ('text/csv; charset="UTF-8"; header=present', 201),
        ("application/csv", 201),
        ("text/tab-separated-values", 201),
        ("text/csv; charset=windows-1252", 415),
        ("text/csv; charset=nonsense", 415),
        ("application/json", 415),
    ],
)
def test_browsers_name_the_type_differently(client: Any, staff: Staff, content_type: str, status: int) -> None:
    response = upload(client, staff, sheet("w07-plain.csv"), Content_Type=content_type)

    assert response.status_code == status
    assert status == 201 or "text/csv" in response.json["detail"]


def test_an_export_for_spreadsheets_begins_with_a_byte_order_mark(client: Any, conn: Conn, staff: Staff) -> None:
    upload(client, staff, sheet("w01-excel-de-utf8.csv"))
    plain, marked = (
        client.get(f"{staff.codes}/export{query}", headers=staff.admin.headers).data for query in ("", "?bom=true")
    )
    assert marked == b"\xef\xbb\xbf" + plain

    expected = stored(conn)
    conn.execute("DELETE FROM qr_codes")
    assert upload(client, staff, marked).status_code == 201
    assert stored(conn) == expected
