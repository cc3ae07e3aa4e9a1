"""What an organization's own code opens."""

from typing import Any

import pytest

from shared.infra.db import Conn
from tests.support.callers import Staff
from tests.support.factories import make_org

EVIL = """<script>alert(1)</script>"'&"""


@pytest.fixture
def change(client: Any, staff: Staff) -> Any:
    def patch(**fields: Any) -> None:
        answer = client.patch(staff.path, json=fields, headers=staff.owner.headers)
        assert answer.status_code == 200, answer.text

    patch(slug="museum")
    return patch


def test_an_organization_with_a_url_is_led_to(client: Any, change: Any) -> None:
    change(url="https://museum.example/visit?from=code")

    answer = client.get("/b/museum")

    assert answer.status_code == 302
    assert answer.headers["Location"] == "https://museum.example/visit?from=code"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_change_of_the_url_holds_at_once(client: Any, change: Any) -> None:
    change(url="https://museum.example/a")
    client.get("/b/museum")
    change(url="https://museum.example/b")

    assert client.get("/b/museum").headers["Location"] == "https://museum.example/b"


def test_one_without_shows_its_name(client: Any, change: Any) -> None:
    change(name="City Museum")

    answer = client.get("/b/museum")

    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    assert "<h1>City Museum</h1>" in answer.text


def test_a_name_is_text_and_nothing_else(client: Any, change: Any) -> None:
    change(name=EVIL)

    answer = client.get("/b/museum")

    assert "<script" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;" in answer.text


@pytest.mark.parametrize("slug", ["nowhere", "MUSEUM", "museum%00", "%f0%28%8c%28", "a" * 5_000, "..", "%3Cscript%3E"])
def test_another_slug_leads_to_a_page_that_says_so(client: Any, change: Any, slug: str) -> None:
    answer = client.get(f"/b/{slug}")

    assert answer.status_code == 404
    if slug != "..":  # which a client resolves before it asks
        assert answer.content_type == "text/html; charset=utf-8"
        assert "<h1>Not found</h1>" in answer.text
    assert "<script" not in answer.text


@pytest.mark.parametrize(("slug", "status"), [("museum", 200), ("nowhere", 404)])
def test_a_page_loads_and_runs_nothing(client: Any, change: Any, slug: str, status: int) -> None:
    answer = client.get(f"/b/{slug}")

    assert answer.status_code == status
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "src=" not in answer.text
    assert "href=" not in answer.text


def test_head(client: Any, change: Any) -> None:
    assert client.head("/b/museum").status_code == 200
    assert client.head("/b/nowhere").status_code == 404


def test_an_address_is_only_that_of_its_own_organization(client: Any, conn: Conn, change: Any) -> None:
    make_org(conn, "gallery")
    change(url="https://museum.example")

    assert client.get("/b/gallery").status_code == 200
