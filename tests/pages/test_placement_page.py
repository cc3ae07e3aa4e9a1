"""The page that places codes, as the server renders it, and the links that lead staff to it."""

import re
from typing import Any

import pytest

from shared.codes import store
from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.pages.html_checks import faults_of
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, give_password, make_staff
from tests.support.factories import AMSTERDAM, code_text, make_code

EVIL = """"><script>alert(1)</script>'"""
REFUSAL = "No code of this organization has this text:"


def test_code_is_found_by_any_of_its_texts(app: Any, conn: Conn, staff: Staff) -> None:
    blank = make_code(conn, staff.org_id, active=False, description=EVIL)
    placed = code_text(conn, make_code(conn, staff.org_id, AMSTERDAM))
    admin = browser_of(app, staff.admin)
    api = app.test_client().patch
    old = code_text(conn, blank)
    assert api(f"{staff.codes}/{blank}", json={"code": "renamed"}, headers=staff.admin.headers).status_code == 200
    deleted = make_code(conn, staff.org_id)
    deleted_text = code_text(conn, deleted)
    store.delete(conn, staff.org_id, deleted)
    foreign = code_text(conn, make_code(conn, make_staff(app, conn).org_id))
    path = f"/o/{organizations.get_slug(conn, staff.org_id)}/place"

    shown = {
        text: admin.get(path, query_string={"code": text}, headers=BROWSER).text
        for text in (old, "renamed", placed, deleted_text, foreign, "nothing1", EVIL, "\0", "x" * 9_000)
    }
    found = {text: re.findall(r'data-code="(.*?)"', html) for text, html in shown.items()}

    assert {text: codes for text, codes in found.items() if codes} == {
        old: ["renamed"],
        "renamed": ["renamed"],
        placed: [placed],
    }
    assert [text for text in shown if (REFUSAL in shown[text]) == bool(found[text])] == []
    assert "Turn the code on" in shown["renamed"]
    assert "has a place already" in shown[placed]
    assert "has a place already" not in shown["renamed"]
    assert [text for text, html in shown.items() if "<script>alert" in html or faults_of(html)] == []
    assert REFUSAL not in admin.get(path, headers=BROWSER).text


def test_page_may_use_camera_and_location(app: Any, conn: Conn, staff: Staff) -> None:
    slug = organizations.get_slug(conn, staff.org_id)

    policy = browser_of(app, staff.admin).get(f"/o/{slug}/place", headers=BROWSER).headers["Permissions-Policy"]

    assert "camera=(self)" in policy
    assert "geolocation=(self)" in policy


@pytest.mark.parametrize(
    ("fields", "status"), [({}, 200), ({"active": False}, 410), ({"starts_at": "2100-01-01T00:00:00Z"}, 404)]
)
def test_printed_code_leads_its_admins_to_the_page(
    app: Any, conn: Conn, staff: Staff, fields: dict[str, Any], status: int
) -> None:
    code = code_text(conn, make_code(conn, staff.org_id, **fields))
    other = make_staff(app, conn)
    visitors = {role: staff[role] for role in ("owner", "admin", "analyst", "member", "stranger")}
    visitors |= {"other": other.owner}
    for player in visitors.values():
        give_password(conn, player.id, "correct horse")
    conn.execute("DELETE FROM credentials WHERE player_id = %s", (staff.owner.id,))

    pages = {name: browser_of(app, player).get(f"/s/{code}", headers=BROWSER) for name, player in visitors.items()}
    pages["visitor"] = app.test_client().get(f"/s/{code}", headers=BROWSER)

    link = f'href="/o/{organizations.get_slug(conn, staff.org_id)}/place?code={code}"'
    assert {page.status_code for page in pages.values()} == {status}
    assert [name for name, page in pages.items() if link in page.text] == ["admin"], "the owner here is a guest"
    assert [name for name, page in pages.items() if "/place" in page.text] == ["admin"]
