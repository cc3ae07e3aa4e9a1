"""Printed codes of an older service: /q/{code} and /qr/b/{slug} lead to its pages, now under Waymark's host."""

from collections.abc import Iterator
from typing import Any

import pytest

from shared.infra.db import Conn
from shared.settings import SettingsError, settings
from tests.support.callers import SignedInPlayer, make_staff, sign_in
from tests.support.factories import make_code
from web.app import create_app
from workers.scans import judge_pending


@pytest.fixture
def older(clean: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("EXTRA_CODE_PATHS", "/q/{code}, /qr/b/{slug}")
    monkeypatch.setenv("RATE_LIMITS_ENABLED", "true")
    settings.cache_clear()
    yield create_app().test_client()
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def ada(older: Any, conn: Conn) -> SignedInPlayer:
    return sign_in(older.application, conn, "ada")


def test_printed_code_opens_like_its_own_path(older: Any, conn: Conn) -> None:
    make_code(conn, code="Xy_9-aBcD12")
    make_code(conn, code="Xy_9-redirect", scan_type=None, target_url="https://museum.example/")
    make_code(conn, code="Xy_9-expired", expires_at="2020-01-01T00:00:00Z")

    for text in (
        "Xy_9-aBcD12",
        "Xy_9-redirect",
        "Xy_9-expired",
        "unknown",
        "Xy_9-aBcD12%00",
        "Xy_9-aBcD12?utm_source=a",
    ):
        expected, response = older.get(f"/s/{text}"), older.get(f"/q/{text}")
        assert (response.status_code, response.location) == (expected.status_code, expected.location)
        assert response.data == expected.data
        assert response.headers["Content-Security-Policy"] == expected.headers["Content-Security-Policy"]
    for path in ("/q/Xy_9-redirect/", "/Q/Xy_9-redirect", "/QR/b/Xy_9-redirect/"):
        assert older.get(path).location == "https://museum.example/"
    lost = older.get("/q/Xy_9-redirect/more", headers={"Accept": "text/html"})
    assert (lost.status_code, lost.mimetype) == (404, "text/html")
    assert older.post("/q/Xy_9-aBcD12").status_code == 405


def test_printed_code_has_the_limit_of_pages(older: Any, conn: Conn) -> None:
    """A school opens its first poster from one address."""
    make_code(conn, code="Xy_9-aBcD12")

    for path in ("/s/Xy_9-aBcD12", "/q/Xy_9-aBcD12", "/qr/b/Xy_9-aBcD12"):
        assert older.get(path).headers["RateLimit-Limit"] == "3000"


def test_printed_business_code_opens_the_organization(older: Any, conn: Conn) -> None:
    staff = make_staff(older.application, conn)
    conn.execute(
        "UPDATE organizations SET slug = 'museum', url = 'https://museum.example' WHERE id = %s", (staff.org_id,)
    )
    make_code(conn, code="museum-shop")

    assert older.get("/qr/b/museum").location == "https://museum.example"
    assert older.get("/qr/b/museum-shop").status_code == 200
    assert older.get("/qr/b/unknown").status_code == 404


@pytest.mark.parametrize("path", ["q", "qr/b", "s"])
def test_pasted_url_of_a_printed_code_is_scanned(older: Any, conn: Conn, ada: SignedInPlayer, path: str) -> None:
    make_code(conn, code="Xy_9-aBcD12")
    scanned = f"https://older.example/{path}/Xy_9-aBcD12?utm_source=poster"

    created = older.post("/scan", json={"player_id": str(ada.id), "qr_code": scanned}, headers=ada.headers).json
    judge_pending()

    scan = older.get(created["result_url"], headers=ada.headers).json
    assert (scan["status"], scan["qr_code"]) == ("success", "Xy_9-aBcD12")


def test_other_paths_are_unknown_by_default(client: Any, conn: Conn) -> None:
    make_code(conn, code="Xy_9-aBcD12")
    assert client.get("/q/Xy_9-aBcD12").status_code == 404


@pytest.mark.parametrize(
    "paths",
    [
        "/q",
        "/q/{id}",
        "/{code}",
        "q/{code}",
        "/q/{code}/x",
        "/a b/{code}",
        "/<int:a>/{code}",
        "https://older.example/q/{code}",
        "/s/{code}",
        "/b/{code}",
        "/qr/{code}",
        "/scan/{code}",
        "/auth/{code}/../login/{code}",
        "/encounters/spy123/solve/{x}",
        "/ws/{code}",
        "/q/{code},/q/{slug}",
    ],
)
def test_malformed_or_used_path_ends_the_process(monkeypatch: pytest.MonkeyPatch, paths: str) -> None:
    monkeypatch.setenv("EXTRA_CODE_PATHS", paths)
    settings.cache_clear()
    try:
        with pytest.raises(SettingsError, match="EXTRA_CODE_PATHS"):
            create_app()
    finally:
        monkeypatch.undo()
        settings.cache_clear()
