"""The page of an organization's business code."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.support.callers import Staff, make_staff
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

    assert "<script>" not in response.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;" in response.text


def test_old_slug_redirects_until_its_alias_is_deleted(
    client: Any, app: Flask, conn: Conn, change: Any, staff: Staff
) -> None:
    change(slug="city")
    aliases = f"{staff.path}/aliases"
    redirected = client.get("/b/museum")
    assert (redirected.status_code, redirected.headers["Location"]) == (302, "/b/city")
    assert redirected.headers["Cache-Control"] == "no-store"
    listed = client.get(aliases, headers=staff.member.headers).json["items"]
    assert "museum" in [alias["slug"] for alias in listed]

    assert client.delete(f"{aliases}/city", headers=staff.owner.headers).status_code == 404, "it is the current slug"
    other = make_staff(app, conn)
    assert client.delete(f"{other.path}/aliases/museum", headers=other.owner.headers).status_code == 404
    assert client.delete(f"{aliases}/museum", headers=staff.owner.headers).status_code == 204
    assert client.delete(f"{aliases}/museum", headers=staff.owner.headers).status_code == 404
    entry = conn.execute("SELECT old FROM audit_log WHERE action = 'alias.deleted'").fetchone()
    assert entry == ({"slug": "museum"},)
    page = client.get("/b/museum")
    assert (page.status_code, "no longer in use" in page.text) == (410, True)


@pytest.mark.parametrize("state", ["alias", "deleted alias", "erased organization"])
def test_no_other_organization_can_use_a_slug(client: Any, conn: Conn, change: Any, staff: Staff, state: str) -> None:
    change(slug="city")
    if state == "deleted alias":
        client.delete(f"{staff.path}/aliases/museum", headers=staff.owner.headers)
    if state == "erased organization":
        conn.execute("DELETE FROM organizations")
    stranger = staff.stranger.headers

    refused = client.post("/api/organizations", json={"name": "Thief", "slug": "museum"}, headers=stranger)
    assert (refused.status_code, "stays with" in refused.json["detail"]) == (409, True)
    made = client.post("/api/organizations", json={"name": "Museum"}, headers=stranger).json
    assert made["slug"].startswith("museum-"), "no generated slug either"
    renamed = client.patch(f"/api/organizations/{made['id']}", json={"slug": "museum"}, headers=stranger)
    assert renamed.status_code == 409
    if state != "erased organization":
        change(slug="museum")
        assert client.get("/b/museum").status_code == 200


@pytest.mark.parametrize("slug", ["nowhere", "MUSEUM", "museum%00", "%f0%28%8c%28", "a" * 5_000, "..", "%3Cscript%3E"])
def test_unknown_slug_shows_a_404_page(client: Any, change: Any, slug: str) -> None:
    response = client.get(f"/b/{slug}")

    assert response.status_code == 404
    if slug != "..":  # clients resolve it before the request
        assert response.content_type == "text/html; charset=utf-8"
        assert "recognize this code</h1>" in response.text
    assert "<script>" not in response.text


@pytest.mark.parametrize(("slug", "status"), [("museum", 200), ("nowhere", 404)])
def test_bare_page_loads_nothing_and_runs_no_script(
    serve: Callable[..., Any], change: Any, slug: str, status: int
) -> None:
    response = serve(PAGES="false").get(f"/b/{slug}")

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
