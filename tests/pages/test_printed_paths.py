"""Printed addresses as links arrive: with a slash, a query, another letter case, and with errors (case W17)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from shared.errors import LimitReached
from shared.infra.db import Conn
from shared.visits import store
from shared.visits.visit_buffer import VisitBuffer
from tests.pages.test_visits import CRAWLER, PHONE, TARGET, poster, stored, taken
from tests.support.callers import Staff
from tests.support.factories import make_code
from web.pages import visits as web_visits
from workers.scans import judge_pending

BROWSER = {"User-Agent": PHONE, "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MACHINE = {"Accept": "application/json"}


@pytest.fixture
def buffer() -> VisitBuffer:
    return VisitBuffer()


@pytest.fixture
def code(conn: Conn, staff: Staff, buffer: VisitBuffer, monkeypatch: pytest.MonkeyPatch) -> UUID:
    monkeypatch.setattr(web_visits, "visit_buffer", buffer)
    conn.execute("UPDATE organizations SET slug = 'museum', url = %s WHERE id = %s", (TARGET, staff.org_id))
    return poster(conn, org_id=staff.org_id, code="w17-x", max_scans=100)


@pytest.mark.parametrize(
    "path",
    [
        "/s/w17-x",
        "/s/w17-x/",
        "/S/w17-x",
        "/S/w17-x/?utm_source=poster",
        "/s/w17-x?utm_source=poster&fbclid=1",
        "/b/museum/",
        "/B/museum",
    ],
)
def test_address_with_a_slash_a_query_or_in_capitals_is_the_same(client: Any, code: UUID, path: str) -> None:
    response = client.get(path, headers=BROWSER)
    assert (response.status_code, response.headers["Location"]) == (302, TARGET)
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/s/W17-X", 404),
        ("/s/w17-x/more", 404),
        ("/S/nothing/", 404),
        ("/s/", 404),
        ("/s", 404),
        ("/b", 404),
        ("/B/nowhere", 404),
        ("/b/museum/more", 404),
        ("/s/later", 404),
        ("/S/over/", 410),
    ],
)
def test_browser_gets_a_page_that_no_cache_stores(client: Any, conn: Conn, code: UUID, path: str, status: int) -> None:
    poster(conn, code="later", starts_at="2999-01-01T00:00Z")
    poster(conn, code="over", expires_at="2026-01-01T00:00Z")
    response = client.get(path, headers=BROWSER)
    assert (response.status_code, response.content_type) == (status, "text/html; charset=utf-8")
    assert "<h1>" in response.text
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("headers", [MACHINE, {"Accept": "*/*"}, {}])
def test_machine_gets_a_problem(client: Any, code: UUID, headers: dict[str, str]) -> None:
    response = client.get("/s/w17-x/more", headers=headers)
    assert (response.status_code, response.content_type) == (404, "application/problem+json")
    assert response.headers["Vary"] == "Accept"


@pytest.mark.parametrize(("error", "status"), [(LimitReached(), 429), (ConnectionError("postgres://secret"), 500)])
def test_other_errors_are_pages_too(
    client: Any, code: UUID, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(store, "find_target", fail)
    monkeypatch.setitem(client.application.config, "PROPAGATE_EXCEPTIONS", False)
    response = client.get("/s/w17-x", headers=BROWSER)
    assert (response.status_code, response.content_type) == (status, "text/html; charset=utf-8")
    assert response.headers["X-Request-ID"] in response.text
    assert "secret" not in response.text
    assert response.headers.get("Retry-After") == ("10" if status == 429 else None)


@pytest.mark.parametrize("kind", ["redirect", "page"])
def test_answer_that_fails_counts_no_visit_and_uses_no_stock(
    client: Any, conn: Conn, code: UUID, buffer: VisitBuffer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    make_code(conn, code="game")

    def fail(*_: object, **__: object) -> None:
        raise ValueError("cannot be written")

    with monkeypatch.context() as broken:
        broken.setattr(web_visits, "Redirect" if kind == "redirect" else "render_page", fail)
        broken.setitem(client.application.config, "PROPAGATE_EXCEPTIONS", False)
        assert client.get("/s/w17-x" if kind == "redirect" else "/s/game", headers=BROWSER).status_code == 500
    buffer.flush()
    assert (stored(conn), taken(conn, code)) == ([], 0)


def test_routes_of_the_api_are_problems_for_browsers_too(client: Any) -> None:
    assert client.get("/player/x/history", headers=BROWSER).content_type == "application/problem+json"


def test_without_pages_other_paths_are_problems(serve: Callable[..., Any]) -> None:
    client = serve(PAGES="false")
    for path in ("/player/x/history", "/screens", "/sx"):
        assert client.get(path, headers=BROWSER).content_type == "application/problem+json"
    assert client.get("/s/nothing", headers=BROWSER).content_type == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("HEAD", BROWSER),
        ("GET", BROWSER | {"Sec-Purpose": "prefetch"}),
        ("GET", BROWSER | {"User-Agent": CRAWLER}),
        ("GET", BROWSER | {"User-Agent": "Twitterbot/1.0"}),
    ],
)
def test_previews_are_no_visits_of_people_and_use_no_stock(
    client: Any, conn: Conn, code: UUID, buffer: VisitBuffer, method: str, headers: dict[str, str]
) -> None:
    assert client.open("/S/w17-x/", method=method, headers=headers).status_code == 302
    buffer.flush()
    assert stored(conn) == [(code, "bot")]
    assert taken(conn, code) == 0


def test_a_new_target_applies_at_once(client: Any, staff: Staff, code: UUID) -> None:
    client.get("/s/w17-x", headers=BROWSER)
    changed = {"target_url": "https://museum.example/new"}
    assert client.patch(f"{staff.codes}/{code}", json=changed, headers=staff.admin.headers).status_code == 200
    assert client.get("/s/w17-x", headers=BROWSER).headers["Location"] == changed["target_url"]


@pytest.mark.parametrize(
    "scanned",
    [
        "HTTPS://WAY.EXAMPLE/s/w17-y",
        "https://way.example/s/w17-y/",
        "https://way.example/s/w17-y?utm_source=x#top",
        "http://other.host/s/w17-y",
        "https://way.example/S/w17-y",
    ],
)
def test_scanned_address_is_its_code(client: Any, conn: Conn, player: Any, scanned: str) -> None:
    make_code(conn, code="w17-y")
    body = {"player_id": str(player.id), "qr_code": scanned}
    scan_id = client.post("/scan", json=body, headers=player.headers).json["scan_id"]
    judge_pending()
    scan = client.get(f"/scan/{scan_id}", headers=player.headers).json
    assert (scan["status"], scan["qr_code"]) == ("success", "w17-y")
