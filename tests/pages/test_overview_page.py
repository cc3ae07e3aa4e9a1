"""The list of organizations and the overview of one, as the server renders them."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from shared.analytics.timelines import Timeline
from shared.infra.db import Conn
from shared.organizations import store as organizations
from shared.reviews.recent_days import RecentDays
from tests.pages.html_checks import faults_of
from tests.reviews.test_scan_list import insert
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, give_password, make_staff
from tests.support.factories import code_text, make_code, make_held_scan, make_player
from tests.support.query_counts import collected_queries
from web.pages.overview import Figure, figures_of

EVIL = """"><script>alert(1)</script>'"""
Open = Callable[..., str]


@pytest.fixture
def open_page(app: Any, conn: Conn, staff: Staff) -> Open:
    """Return a function that returns the HTML of a page: `open_page("analyst", "/o")`. By default: the overview."""
    slug = organizations.get_slug(conn, staff.org_id)

    def get(role: str, path: str = f"/o/{slug}") -> str:
        response = browser_of(app, staff[role]).get(path, headers=BROWSER)
        assert response.status_code == 200
        return str(response.text)

    return get


@pytest.mark.parametrize(
    ("count", "success", "share"),
    [([0, 0], [0, 0], (None, None)), ([0, 4], [0, 1], (0.25, None)), ([2, 0], [1, 0], (None, 0.5))],
)
def test_figures_of(count: list[int], success: list[int], share: tuple[float | None, float | None]) -> None:
    days = Timeline([date(2026, 6, 1), date(2026, 6, 2)], count, success, [None, None], [0, 0], datetime.now(UTC))

    figures = figures_of(days, RecentDays(7, 5, 2, 1, [], is_complete=False))

    assert figures == (
        Figure("scans", count[1], count[0]),
        Figure("success", *share, is_share=True),
        Figure("players", 7, 5, is_lower_bound=True),
        Figure("held", 2, 1, is_lower_bound=True),
    )


def test_overview_counts_the_days_of_the_viewer(conn: Conn, staff: Staff, app: Any) -> None:
    """Kiritimati is a day ahead of Adak for most hours of a day in UTC."""
    code, player, now = make_code(conn, staff.org_id), make_player(conn), datetime.now(UTC)
    insert(conn, player, code, now, "failure", "cooldown")
    insert(conn, player, code, now - timedelta(days=1))
    slug = organizations.get_slug(conn, staff.org_id)
    for zone in ("Pacific/Kiritimati", "America/Adak"):
        browser = browser_of(app, staff.analyst)
        browser.set_cookie("waymark_tz", zone)
        html = browser.get(f"/o/{slug}", headers=BROWSER).text

        assert f"Days in {zone} · As of " in html
        values = re.findall(r"<strong>(.*?)</strong><span class=\"hint\">Yesterday: (.*?)</span>", html)
        assert values == [("1", "1"), ("0%", "100%"), ("1", "1"), ("0", "0")]
        assert "Scanned again too soon" in html
        assert "2 scans in 30 days" in html


def test_checklist_is_for_admins_until_the_first_scan(conn: Conn, staff: Staff, open_page: Open) -> None:
    assert "Your first scan in three steps" not in open_page("analyst")
    assert "Waiting for your scan" not in open_page("admin"), "there is no code to scan"
    code = make_code(conn, staff.org_id)
    assert "Waiting for your scan…" in open_page("admin")
    insert(conn, make_player(conn), code, datetime.now(UTC), "pending")
    assert "Your first scan in three steps" not in open_page("admin")


def test_overview_shows_its_own_scans_only(app: Any, conn: Conn, staff: Staff, open_page: Open) -> None:
    own = make_code(conn, staff.org_id, description=EVIL)
    foreign = make_code(conn, make_staff(app, conn).org_id)
    for code in (own, foreign):
        insert(conn, make_player(conn, f"p{code}"[:32]), code, datetime.now(UTC), "failure", "expired")

    html = open_page("admin")

    assert code_text(conn, own) in html
    assert code_text(conn, foreign) not in html
    assert "<script>alert" not in html
    assert faults_of(html) == []


def test_number_of_queries_is_constant(conn: Conn, staff: Staff, open_page: Open) -> None:
    counts = []
    for scans in (1, 20):
        for _ in range(scans):
            code = make_code(conn, staff.org_id)
            insert(conn, make_player(conn), code, datetime.now(UTC), "failure", "expired")
        with collected_queries() as queries:
            open_page("admin")
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 14, counts


def test_cards_show_what_the_role_may_see(conn: Conn, staff: Staff, open_page: Open) -> None:
    for _ in range(3):
        make_held_scan(conn, make_player(conn), make_code(conn, staff.org_id))
    conn.execute("UPDATE organizations SET name = %s WHERE id = %s", (EVIL, staff.org_id))
    shown = {role: open_page(role, "/o") for role in ("owner", "admin", "analyst", "member", "stranger")}

    slug = organizations.get_slug(conn, staff.org_id)
    assert {role: "3 held scans" in html for role, html in shown.items()} == {
        "owner": True,
        "admin": True,
        "analyst": False,
        "member": False,
        "stranger": False,
    }
    assert {role: "No scans yet" in html for role, html in shown.items()} == {
        "owner": True,
        "admin": True,
        "analyst": True,
        "member": False,
        "stranger": False,
    }
    assert f'href="/o/{slug}"' in shown["analyst"]
    assert f'href="/o/{slug}/codes"' in shown["member"], "the overview is not for members"
    assert slug not in shown["stranger"]
    assert [role for role, html in shown.items() if "<script>alert" in html or faults_of(html)] == []


@pytest.mark.parametrize(
    ("setting", "guest", "account"),
    [
        ("accounts", "Organizations need an account.", "Create your first organization"),
        ("everyone", "Create your first organization", "Create your first organization"),
        (
            "operators",
            "The operator of this server creates organizations.",
            "The operator of this server creates organ",
        ),
    ],
)
def test_form_is_for_those_who_may_create_an_organization(
    serve: Callable[..., Any], conn: Conn, staff: Staff, setting: str, guest: str, account: str
) -> None:
    app = serve(ORGANIZATION_CREATION=setting).application
    for words, has_password in ((guest, False), (account, True)):
        if has_password:
            give_password(conn, staff.stranger.id, "correct horse")
        html = browser_of(app, staff.stranger).get("/o", headers=BROWSER).text
        assert words in html
        assert ('id="create-organization"' in html) == (words.startswith("Create"))


def test_list_of_organizations_is_read_at_once(app: Any, conn: Conn, staff: Staff, open_page: Open) -> None:
    counts = []
    for number in (0, 20):
        for _ in range(number):
            other = make_staff(app, conn)
            conn.execute(
                "INSERT INTO memberships (org_id, player_id, role) VALUES (%s, %s, 'admin')",
                (other.org_id, staff.admin.id),
            )
        with collected_queries() as queries:
            open_page("admin", "/o")
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 6, counts
