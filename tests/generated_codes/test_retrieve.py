"""Retrieve codes over HTTP: content negotiation, conditional requests, and rendering on request."""

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
def test_accept_header_selects_the_type(client: Any, conn: Conn, accept: str | None, expected: str) -> None:
    url = f"/retrieve/{ask(conn)}"

    response = client.get(url, headers={} if accept is None else {"Accept": accept})

    assert (response.status_code, response.mimetype) == (200, expected)
    assert response.headers["Vary"] == "Accept"


def test_equal_image_types_prefer_the_requested_format(client: Any, conn: Conn) -> None:
    url = f"/retrieve/{ask(conn, format='pdf')}"

    assert client.get(url, headers={"Accept": "image/*, application/pdf"}).mimetype == PDF
    assert client.get(url, headers={"Accept": "image/*"}).mimetype == "image/png"


def test_a_request_renders_and_stores_a_pending_image(client: Any, conn: Conn) -> None:
    code_id = ask(conn)

    first = client.get(f"/retrieve/{code_id}/image")

    assert read(first.data) == DATA
    assert find(conn, code_id).status == "ready"
    stored = store.get_image(conn, code_id, "png")
    assert stored is not None
    assert stored.data == first.data
    assert worker.generated_codes.run_new() == 0


def test_a_stored_image_is_served_unchanged(client: Any, conn: Conn) -> None:
    """A new version of the renderer changes neither the image nor its ETag."""
    code_id = ask(conn)
    store.store_image(conn, code_id, "png", store.StoredImage("digest-of-old", b"rendered by an older version"))

    response = client.get(f"/retrieve/{code_id}/image")

    assert response.data == b"rendered by an older version"
    assert response.headers["ETag"] == '"digest-of-old"'


@pytest.mark.parametrize("path", ["/retrieve/{}/image", "/retrieve/{}"])
def test_a_matching_etag_gets_304(client: Any, conn: Conn, path: str) -> None:
    url = path.format(ask(conn))
    first = client.get(url, headers={"Accept": "image/png"})
    etag = first.headers["ETag"]
    assert not etag.startswith("W/")
    assert first.headers["Cache-Control"] == "private, no-cache"

    for if_none_match in (etag, f'"other", {etag}', "*"):
        response = client.get(url, headers={"Accept": "image/png", "If-None-Match": if_none_match})
        assert (response.status_code, response.data) == (304, b"")
        assert response.headers["ETag"] == etag
    assert client.get(url, headers={"Accept": "image/png", "If-None-Match": '"other"'}).data == first.data


def test_formats_have_different_etags(client: Any, conn: Conn) -> None:
    url = f"/retrieve/{ask(conn)}"

    assert (
        len(
            {
                client.get(url, headers={"Accept": content_type}).headers["ETag"]
                for content_type in ("image/png", SVG, PDF)
            }
        )
        == 3
    )


def test_head_requests_have_the_headers_of_get(client: Any, conn: Conn) -> None:
    code_id = ask(conn)
    worker.render_pending()
    for path, accept in (
        (f"/retrieve/{code_id}", "*/*"),
        (f"/retrieve/{code_id}", SVG),
        (f"/retrieve/{code_id}/image", "*/*"),
    ):
        get, head = (client.open(path, method=method, headers={"Accept": accept}) for method in ("GET", "HEAD"))
        assert (head.status_code, head.data) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Cache-Control"):
            assert head.headers.get(name) == get.headers.get(name)


def test_an_svg_page_runs_no_script(client: Any, conn: Conn) -> None:
    response = client.get(f"/retrieve/{ask(conn, '<script>alert(1)</script>', format='svg')}/image")

    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert b"script" not in response.data


def test_a_dead_lettered_code_gets_its_error(client: Any, conn: Conn) -> None:
    code_id = ask(conn)
    conn.execute("UPDATE generated_codes SET status = 'failed', last_error = 'ValueError: inside'")

    assert client.get(f"/retrieve/{code_id}").json["status"] == "failed"
    response = client.get(f"/retrieve/{code_id}/image")
    assert response.status_code == 409
    assert "inside" not in response.text


def test_requests_do_not_render_a_code_with_failed_attempts(client: Any, conn: Conn) -> None:
    code_id = ask(conn)
    conn.execute("UPDATE generated_codes SET attempts = 2, lease_until = now()")

    response = client.get(f"/retrieve/{code_id}/image")

    assert response.status_code == 503
    assert "Retry-After" in response.headers
    worker.render_pending()
    assert client.get(f"/retrieve/{code_id}/image").status_code == 200
