"""Pages of an organization as the server renders them, without a browser."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff

EVIL = """<script>alert(1)</script>"'&"""
Open = Callable[..., str]


def page_opener(app: Any, conn: Conn, staff: Staff) -> Open:
    """Return a function that opens a page below the organization's as a member, and returns its text."""
    base = f"/o/{organizations.get_slug(conn, staff.org_id)}"

    def open_page(path: str, role: str = "admin", status: int = 200) -> str:
        response = browser_of(app, staff[role]).get(base + path, headers=BROWSER)
        assert response.status_code == status, f"{path}: {response.status_code}"
        return str(response.text)

    return open_page


def rows_of(text: str) -> list[str]:
    """Return the text of each row of the first table."""
    body = re.search(r"<tbody[^>]*>(.*?)</tbody>", text, re.DOTALL)
    found = re.findall(r"<tr.*?</tr>", body.group(1), re.DOTALL) if body else []
    return [" ".join(unescape(re.sub(r"<[^>]*>", " ", row)).split()) for row in found]


def announced(text: str) -> str:
    """Return what a screen reader says after the list has changed."""
    found = re.search(r'data-spoken="([^"]*)"', text)
    assert found
    return unescape(found.group(1))
