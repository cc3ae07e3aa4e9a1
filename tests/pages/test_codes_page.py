"""The list of codes as the server renders it: filters, pages, roles, tenancy."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.pages.html_checks import faults_of
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, make_staff
from tests.support.factories import AMSTERDAM, code_text, make_code, make_player
from tests.support.query_counts import collected_queries

EVIL = """"><script>alert(1)</script>'"""
Open = Callable[..., str]


@pytest.fixture
def open_codes(app: Any, conn: Conn, staff: Staff) -> Open:
    """Return a function that returns the HTML of the list: `open_codes("?q=a", role="member")`."""
    slug = organizations.get_slug(conn, staff.org_id)

    def get(query: str = "", role: str = "admin") -> str:
        response = browser_of(app, staff[role]).get(f"/o/{slug}/codes{query}", headers=BROWSER)
        assert response.status_code == 200
        return str(response.text)

    return get


def codes_in(html: str) -> list[str]:
    return re.findall(r'data-code="([^"]*)"', html)


def test_filters_of_the_query_apply(conn: Conn, staff: Staff, open_codes: Open) -> None:
    codes: dict[str, dict[str, Any]] = {
        "dam": {"description": "Dam Square", "tags": ["east", "land mark"]},
        "park": {"scan_type": "encounter", "tags": ["east"]},
        "station": {"scan_type": "transportation", "active": False},
    }
    for code, fields in codes.items():
        make_code(conn, staff.org_id, code=code, **fields)

    found = {
        query: sorted(codes_in(open_codes(query)))
        for query in (
            "",
            "?q=dam+sq",
            "?tag=east",
            "?tag=land%20mark",
            "?scan_type=encounter",
            "?active=false",
            "?active=true&tag=east&q=PARK",
            "?scan_type=bogus&active=maybe&other=1",
            "?q=%00dam%00",
            "?q=nowhere",
        )
    }

    assert found == {
        "": ["dam", "park", "station"],
        "?q=dam+sq": ["dam"],
        "?tag=east": ["dam", "park"],
        "?tag=land%20mark": ["dam"],
        "?scan_type=encounter": ["park"],
        "?active=false": ["station"],
        "?active=true&tag=east&q=PARK": ["park"],
        "?scan_type=bogus&active=maybe&other=1": ["dam", "park", "station"],
        "?q=%00dam%00": ["dam"],
        "?q=nowhere": [],
    }
    assert "No codes match these filters." in open_codes("?q=nowhere")
    assert 'value="dam sq"' in open_codes("?q=dam+sq")
    assert 'data-spoken="2 codes"' in open_codes("?tag=east")


def test_pages_are_complete_and_keep_their_filters(conn: Conn, staff: Staff, open_codes: Open) -> None:
    made = [code_text(conn, make_code(conn, staff.org_id, tags=["a&b"])) for _ in range(120)]
    make_code(conn, staff.org_id)
    html, found = open_codes("?tag=a%26b"), []
    while True:
        found += codes_in(html)
        more = re.search(r'href="([^"]+)" data-load-more', html)
        if more is None:
            break
        html = open_codes(more[1].replace("&amp;", "&"))

    assert sorted(found) == sorted(made)
    assert "120 codes" in html


@pytest.mark.parametrize(
    ("role", "sees", "misses"),
    [
        ("member", ["Copy link", "Download"], ["Scans</th>", "data-select", "Edit", "New code", "data-bulk", "Delete"]),
        ("analyst", ["Copy link", "Scans</th>"], ["data-select", "Edit", "New code", "data-bulk", "Delete"]),
        ("admin", ["Copy link", "Scans</th>", "data-select", "Edit", "New code", "data-bulk", "Delete"], []),
    ],
)
def test_role_sees_only_what_it_may_use(
    conn: Conn, staff: Staff, open_codes: Open, role: str, sees: list[str], misses: list[str]
) -> None:
    assert "No codes yet" in open_codes(role=role)
    make_code(conn, staff.org_id)

    html = open_codes(role=role)

    assert [text for text in sees if text not in html] == []
    assert [text for text in misses if text in html] == []
    assert ("Import CSV" in html) == (role == "admin")


def test_codes_of_other_organizations_are_not_shown(app: Any, conn: Conn, staff: Staff, open_codes: Open) -> None:
    own = make_code(conn, staff.org_id, code="own")
    foreign = make_code(conn, make_staff(app, conn).org_id, code="foreign")

    assert codes_in(open_codes()) == ["own"]
    assert codes_in(open_codes(f"?row={own}")) == ["own"]
    assert codes_in(open_codes(f"?row={foreign}")) == []


def test_row_shows_what_the_code_does(conn: Conn, staff: Staff, open_codes: Open) -> None:
    code = make_code(conn, staff.org_id, AMSTERDAM, reward_item="spy_gadget", reward_quantity=1_200, max_scans=1)
    conn.execute("UPDATE qr_codes SET use_count = 1 WHERE id = %s", (code,))
    screen = make_code(conn, staff.org_id, rotating=True, rotation_secret=b"x" * 32)
    conn.execute(
        "INSERT INTO player_scans (player_id, qr_code_id, status, settled_at) VALUES (%s, %s, 'success', now())",
        (make_player(conn), code),
    )

    html = open_codes()

    rows = {row[13:49]: row for row in re.findall(r"<tr data-id.*?</tr>", html, re.DOTALL)}
    still, rotating = rows[str(code)], rows[str(screen)]
    assert "1,200 spy gadget" in still
    assert "Location required" in still
    assert "Used up" in still
    assert f"{code}/image" in still
    assert "/image" not in rotating, "a rotating code has no image that stays valid"
    assert "Used up" not in open_codes(role="member"), "members see no usage"


def test_texts_of_others_are_escaped(conn: Conn, staff: Staff, open_codes: Open) -> None:
    make_code(conn, staff.org_id, description=EVIL, tags=[EVIL], reward_item=EVIL)

    html = open_codes("?tag=" + "%22%3E%3Cscript%3Ealert(1)%3C/script%3E'")

    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert faults_of(html) == []


def test_number_of_queries_does_not_grow_with_rows(conn: Conn, staff: Staff, open_codes: Open) -> None:
    counts = []
    for rows in (1, 49):
        for _ in range(rows):
            make_code(conn, staff.org_id)
        with collected_queries() as queries:
            open_codes()
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 12, counts


def test_invalid_cursor_is_refused(app: Any, conn: Conn, staff: Staff) -> None:
    slug = organizations.get_slug(conn, staff.org_id)

    response = browser_of(app, staff.admin).get(f"/o/{slug}/codes?cursor=x", headers=BROWSER)

    assert (response.status_code, response.content_type) == (422, "text/html; charset=utf-8")
