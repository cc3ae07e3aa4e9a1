"""Analytics of an organization: header, chart, table and CSV agree, in every zone, and the URL has period and zone."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any
from uuid import UUID

import pytest

from script.stack import RunningServer
from shared.analytics.timelines import timeline
from shared.analytics.unaggregated import RollupSubject
from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.analytics.factories import roll_up, settle, visit
from tests.pages.check_ins import sign_in
from tests.pages.conftest import Game
from tests.pages.page_checks import faults_of_open_page, faults_of_page
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code, make_player
from tests.support.query_counts import collected_queries
from web.pages.analytics import last_day_before
from web.pages.timeline_charts import timeline_chart

CELLS = r'<tr><th scope="row">([^<]+)</th>((?:<td class="number">[^<]*</td>)+)</tr>'


@pytest.fixture
def code(conn: Conn, staff: Staff) -> UUID:
    return make_code(conn, staff.org_id)


@pytest.fixture
def path(conn: Conn, staff: Staff) -> str:
    return f"/o/{organizations.get_slug(conn, staff.org_id)}/analytics"


@pytest.fixture
def opened(app: Any, staff: Staff, path: str) -> Callable[..., str]:
    """Return a function that opens the page as an analyst."""

    def open_page(**query: str) -> str:
        response = browser_of(app, staff.analyst).get(path, query_string=query, headers=BROWSER)
        assert response.status_code == 200
        return unescape(response.text)

    return open_page


def figures(page: str) -> dict[str, str]:
    """Return the figures of the period by what they count."""
    part = page.split("period-figures")[1].partition("<figure")[0]
    return {label.strip(): value for value, label in re.findall(r"<strong>(.*?)</strong>([^<]+)", part)}


def timeline_figure(page: str) -> str:
    return page.split('id="timeline"')[1].partition("</figure>")[0]


def table(page: str) -> list[tuple[str, list[str]]]:
    """Return the rows of the timeline's table."""
    rows = re.findall(CELLS, timeline_figure(page))
    return [(day, re.findall(r">([^<]*)</td>", cells)) for day, cells in rows]


def captions(page: str) -> list[str]:
    return re.findall(r'data-caption="([^"]*)"', timeline_figure(page))


DST = {
    "Europe/Amsterdam": datetime(2026, 10, 26, 12, tzinfo=UTC),
    "America/Havana": datetime(2026, 3, 9, 12, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 4, 6, 12, tzinfo=UTC),
}
"""Zones, each with a time one day after a change of its clocks."""


@pytest.mark.parametrize("zone", DST)
def test_days_with_a_change_of_clocks_have_all_their_scans(
    app: Any, conn: Conn, staff: Staff, code: UUID, zone: str
) -> None:
    player, now = make_player(conn), DST[zone]
    hours = [now - timedelta(hours=n) for n in range(72)]
    for at in hours:
        settle(conn, player, code, "success" if at.hour % 3 else "failure", at=at)
        visit(conn, code, at=at)
    days = timeline(conn, RollupSubject(staff.org_id, staff.org_id), "7d", zone, now)
    with app.test_request_context("/"):
        drawn = timeline_chart(days)

    assert (drawn.sums.scans, drawn.sums.success, drawn.sums.visits) == (72, 48, 72)
    bars = dict(drawn.chart.bars)
    top = drawn.chart.ticks[-1].value
    heights = [round(bar.height * top / 100) for bar in bars["total"]]
    assert heights == [count for count in days.count if count]
    assert max(heights) in (23, 24, 25), "a day has 23 to 25 hours"
    assert [dict(column.values)["scans"] for column in drawn.table.columns] == list(days.count)


def test_header_chart_table_and_csv_agree(
    client: Any, conn: Conn, staff: Staff, code: UUID, opened: Callable[..., str]
) -> None:
    now, players = datetime.now(UTC), [make_player(conn) for _ in range(3)]
    for n, player in enumerate(players * 4):
        settle(conn, player, code, "success" if n % 4 else "failure", at=now - timedelta(days=n % 5))
        visit(conn, code, at=now - timedelta(days=n % 5))
    roll_up()
    for zone in ("UTC", "Asia/Kathmandu"):
        page = opened(period="7d", tz=zone)
        query = {"period": "7d", "tz": zone}
        csv = client.get(f"{staff.path}/timeline.csv", query_string=query, headers=staff.analyst.headers).text
        rows = [line.split(",")[1:] for line in csv.split()[1:]]

        columns = [0, 1, 3] if zone != "UTC" else [0, 1, 3, 2]
        assert [cells for _, cells in table(page)] == [[row[index] for index in columns] for row in rows]
        assert figures(page) == {"Scans": "12", "Success rate": "75%", "Visits": "12"}
        assert [re.findall(r"\d+", text.split(":")[1]) for text in captions(page)] == [c for _, c in table(page)]
        assert f"Days in {zone} · As of" in page
        assert "12 scans in the last 7 days, 75% successful, most on" in page
        assert ("Unique players are available in UTC only." in page) == (zone != "UTC")
        assert f"timeline.csv?period=7d&tz={zone.replace('/', '%2F')}" in page


def test_comparison_has_the_days_before(conn: Conn, code: UUID, opened: Callable[..., str]) -> None:
    now, player = datetime.now(UTC), make_player(conn)
    settle(conn, player, code, at=now)
    for days in (7, 9, 13):
        settle(conn, player, code, at=now - timedelta(days=days))
    settle(conn, player, code, at=now - timedelta(days=14))

    page = opened(period="7d", tz="UTC", compare="1")

    assert "Previous period: 3" in page
    assert [cells[-1] for _, cells in table(page)] == ["1", "0", "0", "0", "1", "0", "1"]
    assert "Previous period" not in opened(period="7d", tz="UTC")


@pytest.mark.parametrize("zone", DST)
def test_previous_period_ends_on_the_day_before(conn: Conn, staff: Staff, zone: str) -> None:
    subject = RollupSubject(staff.org_id, staff.org_id)
    days = timeline(conn, subject, "30d", zone, DST[zone])
    before = timeline(conn, subject, "30d", zone, last_day_before(days, zone))

    assert before.days[-1] + timedelta(days=1) == days.days[0]


def test_weeks_sum_their_days_and_the_table_keeps_days(conn: Conn, code: UUID, opened: Callable[..., str]) -> None:
    player = make_player(conn)
    for days in range(40):
        settle(conn, player, code, at=datetime.now(UTC) - timedelta(days=days))

    page = opened(period="90d", tz="UTC", by="week")

    assert len(table(page)) == 90
    assert 13 <= len(captions(page)) <= 14
    assert sum(int(re.findall(r"Scans (\d+)", text)[0]) for text in captions(page)) == 40
    assert "Scans by week" in page
    assert "Scans by week" not in opened(period="30d", by="week")


def test_unknown_period_and_zone_are_replaced(opened: Callable[..., str]) -> None:
    page = opened(period="2d", tz="Mars/Olympus", by="month", compare="yes")

    assert "Days in UTC" in page
    assert len(table(page)) == 30
    assert "?period=30d&tz=UTC" in page


def test_zone_is_that_of_the_browser_or_the_account(app: Any, conn: Conn, staff: Staff, path: str) -> None:
    conn.execute("UPDATE players SET timezone = 'Asia/Tokyo' WHERE id = %s", (staff.analyst.id,))
    browser = browser_of(app, staff.analyst)
    pages = [browser.get(path, headers=BROWSER).text]
    for zone in ("America/Lima", "</script>"):
        browser.set_cookie("waymark_tz", zone)
        pages.append(browser.get(path, headers=BROWSER).text)

    assert [re.findall(r"Days in (\S+) ·", page) for page in pages] == [
        ["Asia/Tokyo"],
        ["America/Lima"],
        ["Asia/Tokyo"],
    ]


def test_empty_organization_has_a_flat_axis(opened: Callable[..., str]) -> None:
    page = opened()

    assert "No scans in the last 30 days." in page
    assert figures(page) == {"Scans": "0", "Success rate": "-", "Visits": "0"}
    assert "No scan has failed." in page


def test_statistics_are_those_of_the_organization_only(
    app: Any, conn: Conn, staff: Staff, code: UUID, opened: Callable[..., str]
) -> None:
    elsewhere = make_staff(app, conn)
    settle(conn, make_player(conn), make_code(conn, elsewhere.org_id), at=datetime.now(UTC))
    settle(conn, make_player(conn), code, "failure", reason="not_present", at=datetime.now(UTC))

    page = opened(period="7d", tz="UTC")

    assert figures(page)["Scans"] == "1"
    assert re.search(r'href="/o/[\w-]+/scans\?status=failure&reason=not_present">Too far from the code</a>', page)
    assert "Success rate" in page.split("All time")[1]


def test_page_needs_the_same_number_of_queries_for_any_period(
    conn: Conn, code: UUID, opened: Callable[..., str]
) -> None:
    for days in range(20):
        settle(conn, make_player(conn), code, at=datetime.now(UTC) - timedelta(days=days))
    uncached: list[int] = []
    cached: list[int] = []
    for period, zone in (("7d", "Asia/Tokyo"), ("1y", "Europe/Lisbon")):
        for counts in (uncached, cached):
            with collected_queries() as queries:
                opened(period=period, tz=zone)
            counts.append(len(queries))

    assert uncached[0] == uncached[1] <= 14, uncached
    assert cached[0] == cached[1] <= 7, cached


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_charts_are_read_by_keyboard_and_pointer(
    open_context: Callable[..., Any], site: RunningServer, game: Game
) -> None:
    context = open_context(timezone_id="Asia/Tokyo")
    sign_in(context, site, game.owner["username"])
    page, path = context.new_page(), f"/o/{game.organization['slug']}/analytics"
    wrong = faults_of_page(page, path)
    assert wrong == [], "\n".join(wrong)

    code = game.code(per_player_limit=1)
    body = {"player_id": game.owner["player_id"], "qr_code": code["code"]}
    for _ in range(2):
        game.api.ask("POST", "/scan", game.owner["access_token"], body, Prefer="wait=10")
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(path)
    page.wait_for_url("**/analytics?period=30d&tz=Asia%2FTokyo")
    caption = page.locator("#timeline .chart-caption")
    assert "2 scans in the last 30 days, 50% successful" in caption.inner_text()

    page.locator("#timeline .chart-plot").focus()
    page.keyboard.press("ArrowLeft")
    caption.get_by_text("Scans 2, Successful 1").wait_for()
    page.keyboard.press("Home")
    caption.get_by_text("Scans 0").wait_for()
    page.keyboard.press("Escape")
    caption.get_by_text("50% successful").wait_for()
    box = page.locator("#timeline .chart-plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + 20)
    caption.get_by_text("Scans 2, Successful 1").wait_for()

    page.get_by_text("View as table").first.click()
    page.get_by_role("link", name="90 days").click()
    page.get_by_role("link", name="Weeks").click()
    page.get_by_role("link", name="Compare with previous period").click()
    page.wait_for_url("**/analytics?period=90d&tz=Asia%2FTokyo&by=week&compare=1")
    page.get_by_label("Time zone").fill("America/Lima")
    page.keyboard.press("Enter")
    page.wait_for_url("**tz=America%2FLima**")
    assert page.get_by_text("Days in America/Lima").count() >= 1
    wrong = faults_of_open_page(page)
    assert wrong == [], "\n".join(wrong)
