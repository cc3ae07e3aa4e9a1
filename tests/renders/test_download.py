"""Downloads of a render: the whole file, ranges, signed links, and expiry."""

import gc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.infra.db import Conn
from shared.infra.storage.factory import storage
from shared.renders import signed_links
from tests.renders.factories import add_render, find, make_codes, read_file, work
from tests.support.callers import Staff
from web.http import file_responses
from web.http.file_responses import parse_range

Get = Callable[..., Any]


@pytest.fixture
def render_id(conn: Conn, staff: Staff) -> UUID:
    """A finished render."""
    created = add_render(conn, staff.org_id, make_codes(conn, staff.org_id, 2))
    work()
    return created


@pytest.fixture
def url(staff: Staff, render_id: UUID) -> str:
    return f"{staff.path}/renders/{render_id}/download"


@pytest.fixture
def get(client: Any, staff: Staff) -> Get:
    def fetch(path: str, method: str = "GET", **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.open(path, method=method, headers=staff.admin.headers | named)

    return fetch


@pytest.fixture
def link(staff: Staff, render_id: UUID, get: Get) -> str:
    return str(get(f"{staff.path}/renders/{render_id}").json["download_url"])


def test_download_returns_the_file(conn: Conn, render_id: UUID, url: str, get: Get) -> None:
    response = get(url)

    data = read_file(conn, render_id)
    assert (response.status_code, response.data) == (200, data)
    assert response.content_type == "application/zip"
    assert response.headers["Content-Length"] == str(len(data))
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.headers["Content-Disposition"] == f'attachment; filename="render-{render_id}.zip"'
    assert response.headers["ETag"].startswith('"')


@pytest.mark.parametrize("end", ["closed", "read", "dropped"])
def test_concurrent_downloads_are_limited(
    client: Any, url: str, get: Get, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setitem(client.application.extensions, file_responses.SLOTS, file_responses.slots(1))
    first = get(url)

    rejected = get(url)

    assert (rejected.status_code, rejected.headers["Retry-After"]) == (503, "2")
    assert get(url, "HEAD").status_code == 200
    assert get(url, If_None_Match=first.headers["ETag"]).status_code == 304
    if end == "closed":
        first.close()
    elif end == "read":
        assert first.data
    else:
        del first
        gc.collect()
    assert get(url).status_code == 200


def test_a_missing_file_takes_no_slot(
    client: Any, conn: Conn, render_id: UUID, url: str, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(client.application.extensions, file_responses.SLOTS, file_responses.slots(1))
    storage().delete(str(find(conn, render_id).file_name))

    assert [get(url).status_code for _ in range(2)] == [404, 404]


def test_head_has_the_headers_of_get(url: str, get: Get) -> None:
    head, whole = get(url, "HEAD"), get(url)

    assert (head.status_code, head.data) == (200, b"")
    for name in ("Content-Length", "ETag", "Accept-Ranges", "Content-Type", "Content-Disposition"):
        assert head.headers[name] == whole.headers[name]


def test_a_download_can_be_resumed(conn: Conn, render_id: UUID, url: str, get: Get) -> None:
    data, received = read_file(conn, render_id), b""
    tag = get(url, "HEAD").headers["ETag"]
    while len(received) < len(data):
        stop = min(len(received) + 300, len(data)) - 1
        part = get(url, Range=f"bytes={len(received)}-{stop}", If_Range=tag)
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes {len(received)}-{stop}/{len(data)}"
        assert part.headers["Content-Length"] == str(len(part.data))
        received += part.data
    assert received == data


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=-700", (0, 100)),
        ("bytes=90-5000", (90, 100)),
        ("bytes=0-1,5-6", None),
        ("bytes=7-5", None),
        ("bytes=x", None),
        ("lines=1-2", None),
        ("bytes", None),
        ("bytes=", None),
    ],
)
def test_parse_range(header: str | None, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_an_unsatisfiable_range_is_an_error(header: str) -> None:
    with pytest.raises(ValueError, match=r"bytes \*/100"):
        parse_range(header, 100)


@given(st.text(max_size=30), st.integers(0, 1000))
def test_no_range_exceeds_the_file(text: str, size: int) -> None:
    for header in (text, f"bytes={text}"):
        try:
            span = parse_range(header, size)
        except ValueError:
            continue
        assert span is None or 0 <= span.start < span.stop <= size


def test_a_range_beyond_the_end_gets_416(conn: Conn, render_id: UUID, url: str, get: Get) -> None:
    response = get(url, Range="bytes=99999999-")

    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{len(read_file(conn, render_id))}"
    assert response.json["status"] == 416


def test_several_ranges_get_the_whole_file(url: str, get: Get) -> None:
    assert get(url, Range="bytes=0-1,4-5").status_code == 200


@pytest.mark.parametrize("other", ['"other"', 'W/"{tag}"', "Sat, 21 Nov 2026 10:00:00 GMT"])
def test_a_range_of_another_version_gets_the_whole_file(url: str, get: Get, other: str) -> None:
    """If-Range compares strongly (RFC 9110, 13.1.5)."""
    tag = get(url, "HEAD").headers["ETag"].strip('"')

    assert get(url, Range="bytes=0-1", If_Range=other.format(tag=tag)).status_code == 200


def test_a_current_etag_gets_304(url: str, get: Get) -> None:
    response = get(url, If_None_Match=get(url, "HEAD").headers["ETag"])

    assert (response.status_code, response.data) == (304, b"")


def test_a_queued_render_has_no_file(conn: Conn, staff: Staff, get: Get) -> None:
    waiting = add_render(conn, staff.org_id, make_codes(conn, staff.org_id, 1))

    assert get(f"{staff.path}/renders/{waiting}/download").status_code == 404
    assert get(f"{staff.path}/renders/{waiting}").json["download_url"] is None


def test_an_expired_file_gets_410_before_the_cleanup(
    client: Any, conn: Conn, staff: Staff, render_id: UUID, url: str, link: str, get: Get
) -> None:
    conn.execute("UPDATE render_jobs SET expires_at = now()")

    assert get(url).status_code == client.get(link).status_code == 410
    assert get(f"{staff.path}/renders/{render_id}").json["download_url"] is None


def test_a_file_missing_in_the_storage_gets_404(conn: Conn, render_id: UUID, url: str, get: Get) -> None:
    storage().delete(str(find(conn, render_id).file_name))

    assert get(url).status_code == 404


# Links ----------------------------------------------------------------------------------------------------------------


def test_a_signed_link_needs_no_token(client: Any, conn: Conn, render_id: UUID, link: str) -> None:
    response = client.get(link)

    assert (response.status_code, response.data) == (200, read_file(conn, render_id))
    assert client.get(link, headers={"Range": "bytes=0-3"}).data == b"PK\x03\x04"
    assert client.head(link).status_code == 200


def test_a_link_without_its_query_needs_a_token(client: Any, link: str) -> None:
    assert client.get(urlsplit(link).path).status_code == 401


@pytest.mark.parametrize("name", ["expires", "signature"])
def test_an_altered_link_gets_403(client: Any, link: str, name: str) -> None:
    value = parse_qs(urlsplit(link).query)[name][0]
    other = "0" if value[-1] != "0" else "1"

    assert client.get(link.replace(value, value[:-1] + other)).status_code == 403
    assert client.get(link.replace(f"{name}={value}", f"{name}=")).status_code == 403


def test_a_link_allows_one_render_only(client: Any, conn: Conn, staff: Staff, render_id: UUID, link: str) -> None:
    other = add_render(conn, staff.org_id, make_codes(conn, staff.org_id, 1))
    work()

    assert client.get(link.replace(str(render_id), str(other))).status_code == 403


def test_a_link_expires() -> None:
    render_id, now = uuid4(), datetime.now(UTC)
    expires = int((now + timedelta(minutes=1)).timestamp())
    signature = signed_links.sign(b"key", render_id, expires)

    assert signed_links.is_valid(b"key", render_id, str(expires), signature, now)
    assert not signed_links.is_valid(b"key", render_id, str(expires), signature, now + timedelta(minutes=1))
    assert not signed_links.is_valid(b"other", render_id, str(expires), signature, now)
    assert not signed_links.is_valid(b"key", render_id, f" {expires}", signature, now)
    assert not signed_links.is_valid(b"key", render_id, "9" * 5000, signature, now)
    assert not signed_links.is_valid(b"key", render_id, str(expires), "é", now)


def test_a_token_does_not_replace_a_valid_signature(get: Get, url: str) -> None:
    assert get(f"{url}?expires=1&signature=0").status_code == 403
