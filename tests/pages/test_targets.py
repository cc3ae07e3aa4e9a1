"""Addresses to which printed codes redirect: sent as they were given, and never to a printed code again."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.infra.db import Conn
from tests.imports.factories import bulk, table, upload
from tests.support.callers import Staff
from tests.support.factories import code_text, make_code

TARGETS = {
    "https://example.com/?abc#123": None,
    "https://example.com/c?cct=%24+13%0Ar&x=%2540#f%20g": None,
    "https://example.com/a%2Fb/c?filter[a]=1|2": None,
    "https://example.com/?": None,
    "https://EXAMPLE.com:443/A": None,
    'https://example.com/"<>[]^{}`': None,
    "https://straße.example/é?": "https://xn--strae-oqa.example/%C3%A9?",
}


@pytest.mark.parametrize(("target", "location"), TARGETS.items())
def test_target_is_sent_as_it_was_given(client: Any, staff: Staff, target: str, location: str | None) -> None:
    code = client.post(staff.codes, json={"scan_type": None, "target_url": target}, headers=staff.admin.headers).json
    client.patch(staff.path, json={"url": target, "slug": "museum"}, headers=staff.owner.headers)

    assert code["target_url"] == target
    for path in (f"/s/{code['code']}", f"/s/{code['code']}/", f"/s/{code['code']}?utm_source=a&fbclid=b", "/b/museum/"):
        response = client.get(path)
        assert (response.status_code, response.headers["Location"]) == (302, location or target)


@pytest.fixture
def attempts(client: Any, conn: Conn, staff: Staff) -> dict[str, Callable[[str], Any]]:
    """Every way to store an address."""
    poster = make_code(
        conn, staff.org_id, scan_type=None, reward_item=None, reward_quantity=None, target_url="https://a"
    )
    body = {"scan_type": None, "code": "spy123"}
    return {
        "create": lambda url: client.post(staff.codes, json=body | {"target_url": url}, headers=staff.admin.headers),
        "patch": lambda url: client.patch(
            f"{staff.codes}/{poster}", json={"target_url": url}, headers=staff.admin.headers
        ),
        "list": lambda url: bulk(client, staff, body | {"target_url": url}),
        "file": lambda url: upload(client, staff, table({"scan_type": "", "code": "spy123", "target_url": url})),
        "organization": lambda url: client.patch(staff.path, json={"url": url}, headers=staff.owner.headers),
    }


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8000/s/spy123",
        "HTTP://127.0.0.1:8000/s/other",
        "http://127.0.0.1.:8000/b/museum",
        "http://0x7f.1:8000//s/%73py123",
    ],
)
def test_target_must_not_be_a_printed_code(conn: Conn, attempts: dict[str, Callable[[str], Any]], url: str) -> None:
    """A code could lead to itself, or two codes to each other."""
    for attempt in attempts.values():
        response = attempt(url)
        assert response.status_code == 422
        (error,) = response.json["errors"]
        assert error["loc"].endswith("url")
        assert "printed code of this installation" in error["message"]
    assert conn.execute("SELECT FROM qr_codes WHERE code = 'spy123'").rowcount == 0


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "other.name"])
def test_stored_loop_ends_in_a_page_and_counts_no_visit(client: Any, conn: Conn, staff: Staff, host: str) -> None:
    """PUBLIC_URL may have changed since, and the host may have another name."""
    code = make_code(
        conn,
        staff.org_id,
        scan_type=None,
        reward_item=None,
        reward_quantity=None,
        max_scans=1,
        target_url=f"http://{host}/s/spy123",
    )
    conn.execute(
        "UPDATE organizations SET slug = 'museum', url = %s WHERE id = %s", (f"http://{host}/b/museum", staff.org_id)
    )

    opened = client.get(f"/s/{code_text(conn, code)}", headers={"Host": host})
    organization = client.get("/b/museum", headers={"Host": host})

    assert (opened.status_code, opened.content_type) == (404, "text/html; charset=utf-8")
    assert (organization.status_code, organization.content_type) == (200, "text/html; charset=utf-8")
    assert conn.execute("SELECT use_count FROM qr_codes WHERE id = %s", (code,)).fetchone() == (0,)
