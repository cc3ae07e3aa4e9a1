"""The page of an organization's business code."""

from typing import Any

import pytest

from shared.infra.db import Conn
from tests.support.callers import Staff
from tests.support.factories import make_org

EVIL = """<script>alert(1)</script>"'&"""


@pytest.fixture
def change(client: Any, staff: Staff) -> Any:
    def patch(**fields: Any) -> None:
        response = client.patch(staff.path, json=fields, headers=staff.owner.headers)
        assert response.status_code == 200, response.text

    patch(slug="museum")
    return patch


def test_organization_with_a_url_redirects(client: Any, change: Any) -> None:
    change(url="https://museum.example/visit?from=code")

    response = client.get("/b/museum")

    assert response.status_code == 302
    assert response.headers["Location"] == "https://museum.example/visit?from=code"
    assert response.headers["Cache-Control"] == "no-store"


def test_changed_url_applies_immediately(client: Any, change: Any) -> None:
    change(url="https://museum.example/a")
    client.get("/b/museum")
    change(url="https://museum.example/b")

    assert client.get("/b/museum").headers["Location"] == "https://museum.example/b"


def test_organization_without_a_url_shows_its_name(client: Any, change: Any) -> None:
    change(name="City Museum")

    response = client.get("/b/museum")

    assert response.status_code == 200
    assert response.content_type == "text/html; charset=utf-8"
    assert "<h1>City Museum</h1>" in response.text


def test_name_is_escaped(client: Any, change: Any) -> None:
    change(name=EVIL)

    response = client.get("/b/museum")

    assert "<script" not in response.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;" in response.text


@pytest.mark.parametrize("slug", ["nowhere", "MUSEUM", "museum%00", "%f0%28%8c%28", "a" * 5_000, "..", "%3Cscript%3E"])
def test_unknown_slug_shows_a_404_page(client: Any, change: Any, slug: str) -> None:
    response = client.get(f"/b/{slug}")

    assert response.status_code == 404
    if slug != "..":  # clients resolve it before the request
        assert response.content_type == "text/html; charset=utf-8"
        assert "<h1>Not found</h1>" in response.text
    assert "<script" not in response.text


@pytest.mark.parametrize(("slug", "status"), [("museum", 200), ("nowhere", 404)])
def test_page_loads_nothing_and_runs_no_script(client: Any, change: Any, slug: str, status: int) -> None:
    response = client.get(f"/b/{slug}")

    assert response.status_code == status
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "src=" not in response.text
    assert "href=" not in response.text


def test_head_has_the_same_status(client: Any, change: Any) -> None:
    assert client.head("/b/museum").status_code == 200
    assert client.head("/b/nowhere").status_code == 404


def test_url_is_used_for_its_own_organization_only(client: Any, conn: Conn, change: Any) -> None:
    make_org(conn, "gallery")
    change(url="https://museum.example")

    assert client.get("/b/gallery").status_code == 200
