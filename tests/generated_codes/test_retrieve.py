"""Retrieving over HTTP: what is told, which format, whether it is new, and who draws it."""

from typing import Any

import pytest

from shared.generated_codes import store
from shared.infra.db import Conn
from tests.generated_codes.factories import DATA, ask, find, read
from workers import generated_codes as worker

JSON, SVG, PDF = "application/json", "image/svg+xml", "application/pdf"
BROWSER = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("application/*", JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("text/html", JSON),
        ("image/webp", JSON),
        ("nonsense", JSON),
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        (SVG, SVG),
        (PDF, PDF),
        ("image/*", "image/png"),
        (BROWSER, "image/png"),
        ("image/png, application/json", JSON),
        ("image/png, application/json;q=0.9", "image/png"),
        ("image/png;q=0.5, image/svg+xml;q=0.6", SVG),
        ("image/png;q=0, image/*", SVG),
        ("application/json;q=0, */*", "image/png"),
        ("*/*;q=0.1, application/pdf;q=0.2", PDF),
        ("image/png;q=0", JSON),
    ],
)
def test_the_client_says_what_it_likes_best(client: Any, conn: Conn, accept: str | None, expected: str) -> None:
    url = f"/retrieve/{ask(conn)}"

    answer = client.get(url, headers={} if accept is None else {"Accept": accept})

    assert (answer.status_code, answer.mimetype) == (200, expected)
    assert answer.headers["Vary"] == "Accept"


def test_of_pictures_it_likes_alike_the_client_gets_the_one_that_was_asked_for(client: Any, conn: Conn) -> None:
    url = f"/retrieve/{ask(conn, format='pdf')}"

    assert client.get(url, headers={"Accept": "image/*, application/pdf"}).mimetype == PDF
    assert client.get(url, headers={"Accept": "image/*"}).mimetype == "image/png"


def test_a_picture_that_no_worker_came_to_is_drawn_on_the_spot_and_kept(client: Any, conn: Conn) -> None:
    code_id = ask(conn)

    first = client.get(f"/retrieve/{code_id}/image")

    assert read(first.data) == DATA
    assert find(conn, code_id).status == "ready"
    kept = store.get_image(conn, code_id, "png")
    assert kept is not None
    assert kept.data == first.data
    assert worker.generated_codes.run_new() == 0


def test_what_is_stored_is_served_whatever_would_be_drawn_today(client: Any, conn: Conn) -> None:
    """So that a picture and its ETag stay while the renderer changes."""
    code_id = ask(conn)
    store.store_image(conn, code_id, "png", store.StoredImage("digest-of-old", b"drawn by an older renderer"))

    answer = client.get(f"/retrieve/{code_id}/image")

    assert answer.data == b"drawn by an older renderer"
    assert answer.headers["ETag"] == '"digest-of-old"'


@pytest.mark.parametrize("path", ["/retrieve/{}/image", "/retrieve/{}"])
def test_who_has_the_picture_is_told_so(client: Any, conn: Conn, path: str) -> None:
    url = path.format(ask(conn))
    first = client.get(url, headers={"Accept": "image/png"})
    etag = first.headers["ETag"]
    assert not etag.startswith("W/")
    assert first.headers["Cache-Control"] == "private, no-cache"

    for has in (etag, f'"other", {etag}', "*"):
        answer = client.get(url, headers={"Accept": "image/png", "If-None-Match": has})
        assert (answer.status_code, answer.data) == (304, b"")
        assert answer.headers["ETag"] == etag
    assert client.get(url, headers={"Accept": "image/png", "If-None-Match": '"other"'}).data == first.data


def test_the_etag_tells_formats_apart(client: Any, conn: Conn) -> None:
    url = f"/retrieve/{ask(conn)}"

    assert len({client.get(url, headers={"Accept": kind}).headers["ETag"] for kind in ("image/png", SVG, PDF)}) == 3


def test_heads_are_those_of_the_answers(client: Any, conn: Conn) -> None:
    code_id = ask(conn)
    worker.render_pending()
    for path, accept in (
        (f"/retrieve/{code_id}", "*/*"),
        (f"/retrieve/{code_id}", SVG),
        (f"/retrieve/{code_id}/image", "*/*"),
    ):
        got, head = (client.open(path, method=method, headers={"Accept": accept}) for method in ("GET", "HEAD"))
        assert (head.status_code, head.data) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
            assert head.headers.get(name) == got.headers.get(name)


def test_an_svg_that_is_opened_as_a_page_can_do_nothing(client: Any, conn: Conn) -> None:
    answer = client.get(f"/retrieve/{ask(conn, '<script>alert(1)</script>', format='svg')}/image")

    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert b"script" not in answer.data


def test_a_code_that_was_set_aside_says_so(client: Any, conn: Conn) -> None:
    code_id = ask(conn)
    conn.execute("UPDATE generated_codes SET status = 'failed', last_error = 'ValueError: inside'")

    assert client.get(f"/retrieve/{code_id}").json["status"] == "failed"
    refused = client.get(f"/retrieve/{code_id}/image")
    assert refused.status_code == 409
    assert "inside" not in refused.text


def test_a_code_that_may_have_killed_workers_is_not_tried_here(client: Any, conn: Conn) -> None:
    code_id = ask(conn)
    conn.execute("UPDATE generated_codes SET attempts = 2, lease_until = now()")

    answer = client.get(f"/retrieve/{code_id}/image")

    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    worker.render_pending()
    assert client.get(f"/retrieve/{code_id}/image").status_code == 200
