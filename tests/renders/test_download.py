"""The file of a render: whole, in ranges, by a link, and no longer than it is kept."""

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
from tests.renders.factories import ask, file_of, find, make_codes, work
from tests.support.callers import Staff
from web.http import file_responses
from web.http.file_responses import parse_range

Get = Callable[..., Any]


@pytest.fixture
def render_id(conn: Conn, staff: Staff) -> UUID:
    """One that is done."""
    made = ask(conn, staff.org_id, make_codes(conn, staff.org_id, 2))
    work()
    return made


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


def test_the_whole_file(conn: Conn, render_id: UUID, url: str, get: Get) -> None:
    answer = get(url)

    data = file_of(conn, render_id)
    assert (answer.status_code, answer.data) == (200, data)
    assert answer.content_type == "application/zip"
    assert answer.headers["Content-Length"] == str(len(data))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="render-{render_id}.zip"'
    assert answer.headers["ETag"].startswith('"')


@pytest.mark.parametrize("end", ["closed", "read", "dropped"])
def test_only_so_many_files_are_sent_at_once(
    client: Any, url: str, get: Get, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setitem(client.application.extensions, file_responses.SLOTS, file_responses.slots(1))
    sent = get(url)

    refused = get(url)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert get(url, "HEAD").status_code == 200
    assert get(url, If_None_Match=sent.headers["ETag"]).status_code == 304
    if end == "closed":
        sent.close()
    elif end == "read":
        assert sent.data
    else:
        del sent
        gc.collect()
    assert get(url).status_code == 200


def test_a_file_that_cannot_be_opened_takes_no_place(
    client: Any, conn: Conn, render_id: UUID, url: str, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(client.application.extensions, file_responses.SLOTS, file_responses.slots(1))
    storage().delete(str(find(conn, render_id).file_name))

    assert [get(url).status_code for _ in range(2)] == [404, 404]


def test_head_tells_the_same_without_the_file(url: str, get: Get) -> None:
    head, whole = get(url, "HEAD"), get(url)

    assert (head.status_code, head.data) == (200, b"")
    for name in ("Content-Length", "ETag", "Accept-Ranges", "Content-Type", "Content-Disposition"):
        assert head.headers[name] == whole.headers[name]


def test_a_download_is_resumed_until_it_is_whole(conn: Conn, render_id: UUID, url: str, get: Get) -> None:
    data, got = file_of(conn, render_id), b""
    tag = get(url, "HEAD").headers["ETag"]
    while len(got) < len(data):
        stop = min(len(got) + 300, len(data)) - 1
        part = get(url, Range=f"bytes={len(got)}-{stop}", If_Range=tag)
        assert part.status_code == 206
        assert part.headers["Content-Range"] == f"bytes {len(got)}-{stop}/{len(data)}"
        assert part.headers["Content-Length"] == str(len(part.data))
        got += part.data
    assert got == data


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
def test_ranges(header: str | None, span: tuple[int, int] | None) -> None:
    assert parse_range(header, 100) == span


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_ranges_that_are_not_there(header: str) -> None:
    with pytest.raises(ValueError, match=r"bytes \*/100"):
        parse_range(header, 100)


@given(st.text(max_size=30), st.integers(0, 1000))
def test_no_range_leads_beyond_the_file(text: str, size: int) -> None:
    for header in (text, f"bytes={text}"):
        try:
            span = parse_range(header, size)
        except ValueError:
            continue
        assert span is None or 0 <= span.start < span.stop <= size


def test_a_range_beyond_the_end_is_416(conn: Conn, render_id: UUID, url: str, get: Get) -> None:
    answer = get(url, Range="bytes=99999999-")

    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(file_of(conn, render_id))}"
    assert answer.json["status"] == 416


def test_several_ranges_are_answered_with_all(url: str, get: Get) -> None:
    assert get(url, Range="bytes=0-1,4-5").status_code == 200


@pytest.mark.parametrize("other", ['"other"', 'W/"{tag}"', "Sat, 21 Nov 2026 10:00:00 GMT"])
def test_a_range_of_another_file_is_answered_with_all(url: str, get: Get, other: str) -> None:
    """If-Range compares strongly (RFC 9110, 13.1.5)."""
    tag = get(url, "HEAD").headers["ETag"].strip('"')

    assert get(url, Range="bytes=0-1", If_Range=other.format(tag=tag)).status_code == 200


def test_what_the_client_has_is_not_sent_again(url: str, get: Get) -> None:
    answer = get(url, If_None_Match=get(url, "HEAD").headers["ETag"])

    assert (answer.status_code, answer.data) == (304, b"")


def test_before_it_is_done_there_is_no_file(conn: Conn, staff: Staff, get: Get) -> None:
    waiting = ask(conn, staff.org_id, make_codes(conn, staff.org_id, 1))

    assert get(f"{staff.path}/renders/{waiting}/download").status_code == 404
    assert get(f"{staff.path}/renders/{waiting}").json["download_url"] is None


def test_expired_it_is_gone_whether_or_not_cleanup_has_run(
    client: Any, conn: Conn, staff: Staff, render_id: UUID, url: str, link: str, get: Get
) -> None:
    conn.execute("UPDATE render_jobs SET expires_at = now()")

    assert get(url).status_code == client.get(link).status_code == 410
    assert get(f"{staff.path}/renders/{render_id}").json["download_url"] is None


def test_a_file_that_the_storage_lost_is_404(conn: Conn, render_id: UUID, url: str, get: Get) -> None:
    storage().delete(str(find(conn, render_id).file_name))

    assert get(url).status_code == 404


# Links ----------------------------------------------------------------------------------------------------------------


def test_a_link_opens_the_file_without_a_token(client: Any, conn: Conn, render_id: UUID, link: str) -> None:
    answer = client.get(link)

    assert (answer.status_code, answer.data) == (200, file_of(conn, render_id))
    assert client.get(link, headers={"Range": "bytes=0-3"}).data == b"PK\x03\x04"
    assert client.head(link).status_code == 200


def test_without_its_query_a_token_is_asked_for(client: Any, link: str) -> None:
    assert client.get(urlsplit(link).path).status_code == 401


@pytest.mark.parametrize("name", ["expires", "signature"])
def test_an_altered_link_opens_nothing(client: Any, link: str, name: str) -> None:
    value = parse_qs(urlsplit(link).query)[name][0]
    other = "0" if value[-1] != "0" else "1"

    assert client.get(link.replace(value, value[:-1] + other)).status_code == 403
    assert client.get(link.replace(f"{name}={value}", f"{name}=")).status_code == 403


def test_a_link_is_for_one_render(client: Any, conn: Conn, staff: Staff, render_id: UUID, link: str) -> None:
    other = ask(conn, staff.org_id, make_codes(conn, staff.org_id, 1))
    work()

    assert client.get(link.replace(str(render_id), str(other))).status_code == 403


def test_a_link_ends() -> None:
    render_id, now = uuid4(), datetime.now(UTC)
    expires = int((now + timedelta(minutes=1)).timestamp())
    signature = signed_links.sign(b"key", render_id, expires)

    assert signed_links.is_valid(b"key", render_id, str(expires), signature, now)
    assert not signed_links.is_valid(b"key", render_id, str(expires), signature, now + timedelta(minutes=1))
    assert not signed_links.is_valid(b"other", render_id, str(expires), signature, now)
    assert not signed_links.is_valid(b"key", render_id, f" {expires}", signature, now)
    assert not signed_links.is_valid(b"key", render_id, "9" * 5000, signature, now)
    assert not signed_links.is_valid(b"key", render_id, str(expires), "é", now)


def test_a_token_does_not_stand_in_for_a_broken_link(get: Get, url: str) -> None:
    assert get(f"{url}?expires=1&signature=0").status_code == 403
