"""Invalid and oversized uploads get a clear error and change nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from shared.imports.rules import MAX_SYNCHRONOUS_ROWS
from shared.infra.db import Conn
from tests.imports.factories import bulk, many, staged_rows, stored, upload
from tests.support.callers import Staff
from web.api.imports import MAX_CSV_BYTES

GOOD = many(MAX_SYNCHRONOUS_ROWS + 1)
HEAD = b"scan_type,description\n"


@pytest.fixture
def unchanged(conn: Conn) -> Iterator[None]:
    yield
    assert stored(conn) == set()
    assert conn.execute("SELECT FROM imports").rowcount == staged_rows(conn) == 0
    assert conn.execute("SELECT FROM idempotency_keys").rowcount == 0


def padded(size: int) -> bytes:
    """Return a valid file of this size in bytes."""
    rows = (size - len(HEAD)) // 1_000 - 1
    data = HEAD + (b"item_drop," + b"a" * 989 + b"\n") * rows
    rest = size - len(data)
    return data + b"item_drop," + b"a" * (rest - 11) + b"\n"


def assert_rejected(response: Any, loc: str) -> None:
    assert response.status_code == 422, response.text
    assert response.content_type == "application/problem+json"
    assert response.json["errors"][0]["loc"] == loc
    assert len(response.data) < 2_000


@pytest.mark.usefixtures("unchanged")
class TestRejected:
    @pytest.mark.parametrize(
        ("data", "loc"),
        [
            (b"", "body"),
            (b"item_drop,spy123\n", "body"),
            (b"PK\x03\x04" + b"\x00" * 100, "body"),
            (GOOD + "é\n".encode("latin-1"), f"body.lines.{MAX_SYNCHRONOUS_ROWS + 3}"),
            (GOOD + b'"never,closed\n' * 100, f"body.lines.{MAX_SYNCHRONOUS_ROWS + 3}"),
            (GOOD + b"a\x00,b\n", f"body.lines.{MAX_SYNCHRONOUS_ROWS + 3}"),
            (GOOD.replace(b"\r\n", b"\r"), "body.lines.1"),
            (HEAD + b"item_drop," + b"a" * 3 * 2**20 + b"\n", "body.lines.2"),
            (HEAD + b"item_drop," + b"a" * (2**20 - 100) + b"\n", "body.lines.2.description"),
            (HEAD + b"item_drop" + b"," * 10_000 + b"\n", "body.lines.2"),
            (b"," * MAX_CSV_BYTES, "body.lines.1"),
            (HEAD + b"item_drop,\n" * 100_001, "body"),
        ],
        ids=lambda value: repr(value[:20]),
    )
    def test_files_without_codes_are_rejected(self, client: Any, staff: Staff, data: bytes, loc: str) -> None:
        assert_rejected(upload(client, staff, data, Idempotency_Key="k"), loc)

    def test_an_unreadable_row_rejects_a_partial_import(self, client: Any, staff: Staff) -> None:
        response = upload(client, staff, GOOD + b'"never closed', query="?partial=true")

        assert_rejected(response, f"body.lines.{MAX_SYNCHRONOUS_ROWS + 3}")

    def test_a_body_over_the_limit(self, client: Any, staff: Staff) -> None:
        data = padded(MAX_CSV_BYTES + 1)
        assert len(data) == MAX_CSV_BYTES + 1

        response = upload(client, staff, data)

        assert response.status_code == 413
        assert f"{MAX_CSV_BYTES:,}" in response.json["detail"]

    def test_a_chunked_body_over_the_limit(self, app: Flask, staff: Staff) -> None:
        """Without Content-Length, gunicorn marks the input as terminated."""
        sent = 0

        class Endless:
            def read(self, n: int) -> bytes:
                nonlocal sent
                sent += n
                return b"a" * n

        headers = staff.admin.headers | {"Content-Type": "text/csv"}
        environ = EnvironBuilder(path=f"{staff.codes}/import", method="POST", headers=[*headers.items()]).get_environ()
        environ.pop("CONTENT_LENGTH", None)
        environ |= {"wsgi.input": Endless(), "wsgi.input_terminated": True}

        _, status, _ = run_wsgi_app(app, environ)

        assert status.startswith("413")
        assert sent <= MAX_CSV_BYTES + 2**17

    @pytest.mark.parametrize(
        "content_type", ["application/json", "text/plain", "multipart/form-data", "", "text/csv; charset=latin-1"]
    )
    def test_other_content_types_are_rejected(self, client: Any, staff: Staff, content_type: str) -> None:
        assert upload(client, staff, GOOD, Content_Type=content_type).status_code == 415

    @pytest.mark.parametrize("partial", ["maybe", "1", "", "True"])
    def test_an_invalid_query_is_rejected(self, client: Any, staff: Staff, partial: str) -> None:
        response = upload(client, staff, GOOD, query=f"?partial={partial}")

        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == "query.partial"

    @pytest.mark.parametrize(
        ("codes", "loc"),
        [
            ([{"scan_type": "item_drop"}] * 1_001, "body.codes"),
            (["spy123"], "body.codes.0"),
            ([{"scan_type": "item_drop", "org_id": "x"}], "body.codes.0.org_id"),
            ([{"scan_type": "item_drop", "description": "\x00"}], "body.codes.0.description"),
            ([{}], "body.codes.0.scan_type"),
        ],
        ids=lambda value: repr(value)[:30],
    )
    def test_invalid_lists_name_the_field(self, client: Any, staff: Staff, codes: list[Any], loc: str) -> None:
        response = bulk(client, staff, *codes)

        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == loc

    def test_a_list_of_more_than_ten_mebibytes(self, client: Any, staff: Staff) -> None:
        assert (
            bulk(client, staff, *[{"scan_type": "item_drop", "description": "a" * 11_000}] * 1_000).status_code == 413
        )

    def test_authentication_comes_first(self, client: Any, staff: Staff) -> None:
        for path in ("import", "bulk"):
            assert client.post(f"{staff.codes}/{path}", data=b"\xff" * 100).status_code == 401
        assert upload(client, staff, b"\xff", by=staff.member, Content_Type="text/plain").status_code == 403


def test_bodies_over_one_mebibyte_are_accepted(client: Any, conn: Conn, staff: Staff) -> None:
    """Imports accept ten, other requests one."""
    response = upload(client, staff, padded(MAX_CSV_BYTES))
    assert response.status_code == 202, response.text
    response = bulk(client, staff, *[{"scan_type": "item_drop", "description": "a" * 2_000}] * 1_000)
    assert response.status_code == 201
    response = client.post(staff.codes, json={"scan_type": "item_drop", "x": "a" * 2**20}, headers=staff.admin.headers)
    assert response.status_code == 413


def test_a_row_of_ten_thousand_columns_fails_alone(client: Any, conn: Conn, staff: Staff) -> None:
    data = HEAD + b"item_drop,a\nitem_drop" + b",x" * 10_000 + b"\nitem_drop,b\n"

    response = upload(client, staff, data, query="?partial=true")

    assert (
        response.json["rows"][0] | {"line": 3, "message": "Use 2 cells, as in the header. This row has more."}
        == (response.json["rows"][0])
    )
    assert (response.json["done"], response.json["failed"]) == (2, 1)
