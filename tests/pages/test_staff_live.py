"""The live page: the last scans from the server, then events as they arrive, in a list and on a map."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from script.stack import RunningServer
from shared.infra.db import Conn
from shared.organizations import store as organizations
from shared.reviews.recent_scans import count_recent
from tests.analytics.factories import settle
from tests.pages.check_ins import sign_in
from tests.pages.conftest import Game
from tests.pages.page_checks import faults_of_open_page, faults_of_page
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, make_staff
from tests.support.factories import code_text, make_code, make_player, submit_scan
from tests.support.query_counts import collected_queries

MARKUP = '"><script>hacked = 1</script><img src=x onerror="hacked = 2">\''


@pytest.fixture
def path(conn: Conn, staff: Staff) -> str:
    return f"/o/{organizations.get_slug(conn, staff.org_id)}/live"


@pytest.fixture
def opened(app: Any, staff: Staff, path: str) -> Callable[..., str]:
    """Return a function that opens the page: `opened("admin", status="failure")`."""

    def open_page(role: str = "analyst", **query: str) -> str:
        response = browser_of(app, staff[role]).get(path, query_string=query, headers=BROWSER)
        assert response.status_code == 200
        return str(response.text)

    return open_page


def listed(page: str) -> list[tuple[str, str]]:
    """Return id and status of the scans in the list, from top to bottom."""
    return re.findall(r'data-scan="([^"]+)" data-status="(\w+)"', page)


def state(page: str) -> dict[str, Any]:
    found = re.search(r'data-state="([^"]*)"', page)
    assert found
    return dict(json.loads(unescape(found[1])))


def test_list_has_the_newest_fifty_of_the_organization(
    app: Any, conn: Conn, staff: Staff, opened: Callable[..., str]
) -> None:
    code, player, now = make_code(conn, staff.org_id), make_player(conn), datetime.now(UTC)
    scans = [settle(conn, player, code, at=now - timedelta(minutes=n)) for n in range(52)]
    settle(conn, player, make_code(conn, make_staff(app, conn).org_id), at=now)

    page = opened()

    assert [scan for scan, _ in listed(page)] == [str(scan) for scan in scans[:50]]
    assert state(page)["orgId"] == str(staff.org_id)
    assert sum(count for _, count, _ in state(page)["counts"]) == 52


def test_names_are_for_admins(conn: Conn, staff: Staff, opened: Callable[..., str]) -> None:
    player = make_player(conn, "mira")
    settle(conn, player, make_code(conn, staff.org_id, description=MARKUP), at=datetime.now(UTC))

    admin, analyst = opened("admin"), opened("analyst")

    assert "mira" in admin
    assert "data-names" in admin
    assert "mira" not in analyst
    assert "data-names" not in analyst
    assert player.hex[-4:] in analyst
    assert "<script>hacked" not in admin


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["success", "failure", "held"]),
        ({"status": "held"}, ["held"]),
        ({"failures": "1", "status": "held"}, ["failure"]),
        ({"scan_type": "item_drop"}, ["success", "held"]),
        ({"scan_type": "transportation"}, []),
        ({"tag": "east"}, ["success"]),
        ({"tag": "\0"}, ["success", "failure", "held"]),
        ({"code": "no-such-code"}, []),
        ({"status": "none", "scan_type": "none"}, ["success", "failure", "held"]),
    ],
)
def test_filters_of_the_url(
    conn: Conn, staff: Staff, opened: Callable[..., str], query: dict[str, str], expected: list[str]
) -> None:
    item, tagged = make_code(conn, staff.org_id), make_code(conn, staff.org_id, tags=["east"])
    link = make_code(
        conn, staff.org_id, scan_type=None, reward_item=None, reward_quantity=None, target_url="https://a.example"
    )
    player, now = make_player(conn), datetime.now(UTC)
    settle(conn, player, tagged, at=now)
    settle(conn, player, link, "failure", at=now - timedelta(minutes=1))
    settle(conn, player, item, "held", at=now - timedelta(minutes=2))

    assert [status for _, status in listed(opened(**query))] == expected


def test_code_filter_takes_a_code_text(conn: Conn, staff: Staff, opened: Callable[..., str]) -> None:
    codes = [make_code(conn, staff.org_id) for _ in range(2)]
    scans = [settle(conn, make_player(conn), code, at=datetime.now(UTC)) for code in codes]

    assert listed(opened(code=code_text(conn, codes[1]))) == [(str(scans[1]), "success")]


def test_page_without_scans_says_that_it_waits(opened: Callable[..., str]) -> None:
    page = opened()

    assert "Waiting for scans." in page
    assert 'tabindex="-1"></ol>' in page
    assert state(page)["counts"] == []


def test_last_hour_is_counted_by_ten_seconds(app: Any, conn: Conn, staff: Staff) -> None:
    code, player, now = make_code(conn, staff.org_id), make_player(conn), datetime(2026, 11, 28, 12, tzinfo=UTC)
    for seconds, status in ((0, "success"), (4, "failure"), (9, "held"), (3_599, "annulled"), (3_600, "success")):
        settle(conn, player, code, status, at=now - timedelta(seconds=seconds))
    submit_scan(conn, player, code)
    settle(conn, player, make_code(conn, make_staff(app, conn).org_id), at=now)

    counts = count_recent(conn, staff.org_id, now)

    assert [((now - one.at).total_seconds(), one.count, one.success) for one in counts] == [
        (3_600.0, 1, 0),
        (10.0, 2, 0),
        (0.0, 1, 1),
    ]


def test_number_of_queries_does_not_grow_with_rows(conn: Conn, staff: Staff, opened: Callable[..., str]) -> None:
    counts = []
    for rows in (1, 49):
        for _ in range(rows):
            settle(conn, make_player(conn), make_code(conn, staff.org_id), at=datetime.now(UTC))
        with collected_queries() as queries:
            opened("admin", tag="", scan_type="item_drop")
        counts.append(len(queries))

    assert counts[0] == counts[1] <= 12, counts


ROWS = "document.querySelectorAll('#feed > li').length"
HAS_ROWS = "count => document.querySelectorAll('#feed > li').length === count"
IS_IDLE = "() => document.getElementById('show-new').hidden"
FAKE_SOCKET = """
    window.WebSocket = class extends EventTarget {
        constructor() {
            super();
            window.socket = this;
            setTimeout(() => this.dispatchEvent(new Event('open')));
        }
        close() {}
    };
    window.say = event => socket.dispatchEvent(new MessageEvent('message', {data: JSON.stringify(event)}));
    window.position = 10 ** 12;
    window.scanned = (count, code, status) => {
        for (let n = 0; n < count; n++) {
            const [scan_id, player_id] = [crypto.randomUUID(), crypto.randomUUID()];
            const event = {scan_id, player_id, qr_code: code, at: new Date().toISOString()};
            const verdict = {status, reward: 'spy_gadget', quantity: 2};
            say({...event, id: String(++position), event: 'qr_scan'});
            say({...event, ...verdict, id: String(++position), event: 'scan_result'});
        }
    };
"""
"""A socket that the test speaks through: `scanned(12, 'spy123', 'success')`."""


@pytest.fixture
def live(open_context: Callable[..., Any], site: RunningServer, game: Game) -> Callable[..., Any]:
    """Return a function that opens the live page of the game as its owner."""

    def make(query: str = "", script: str = "", **options: Any) -> Any:
        context = open_context(**options)
        sign_in(context, site, game.owner["username"])
        page = context.new_page()
        if script:
            page.add_init_script(script)
        page.goto(f"/o/{game.organization['slug']}/live{query}")
        page.locator("#live-state[data-connection=live]").wait_for()
        return page

    return make


def has_rows(page: Any, count: int) -> None:
    page.wait_for_function(HAS_ROWS, arg=count)


def scan(game: Game, code: Any, expected: str = "success") -> str:
    token, player = game.owner["access_token"], game.owner["player_id"]
    body = {"player_id": player, "qr_code": code["code"]}
    verdict = game.api.ask("POST", "/scan", token, body, Prefer="wait=10")
    assert verdict["status"] == expected
    return str(verdict["scan_id"])


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_scan_becomes_a_row_and_a_pulse(live: Callable[..., Any], game: Game) -> None:
    place = {"latitude": 52.37, "longitude": 4.89}
    code = game.code(description=f"Square {MARKUP}", per_player_limit=1, **place)
    other = game.code(description="Harbor", tags=["east"])
    page = live()
    wrong = faults_of_page(page, page.url)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(page.url)
    page.locator("#live-state[data-connection=live]").wait_for()
    page.locator("#map .leaflet-container, #map .map-view").first.wait_for()

    first = page.locator(f"[data-scan='{scan(game, code)}'][data-status=success]")
    first.wait_for()
    first.get_by_text("1 spy gadget").wait_for()
    first.get_by_text(f"Square {MARKUP}").wait_for()
    first.get_by_text(game.owner["username"]).wait_for()
    scan_link, code_link = [link.get_attribute("href") for link in first.get_by_role("link").all()]
    assert scan_link.endswith(f"/scans/{first.get_attribute('data-scan')}")
    assert code_link.endswith(f"/codes/{code['id']}")
    assert page.locator("#map .map-pulse").count() >= 1
    page.locator("#last-minute").get_by_text("1", exact=True).wait_for()
    second = page.locator(f"[data-scan='{scan(game, code, 'failure')}'][data-status=failure]")
    second.get_by_text("Limit per player reached").wait_for()
    page.wait_for_function("() => document.getElementById('success-rate').textContent === '50%'")
    assert page.evaluate("typeof hacked") == "undefined"

    page.locator("h1").click()
    page.keyboard.press("Space")
    page.locator("#live-state").get_by_text("Paused").wait_for()
    scan(game, other)
    page.get_by_role("button", name="1 new").wait_for()
    assert page.evaluate(ROWS) == 2
    page.get_by_role("button", name="1 new").press("Enter")
    has_rows(page, 3)
    page.locator("h1").click()
    page.keyboard.press("Space")
    page.locator("#live-state").get_by_text("Live").wait_for()

    page.get_by_label("Failures only").check()
    has_rows(page, 1)
    assert page.url.endswith("?failures=1")
    page.get_by_label("Failures only").uncheck()
    page.get_by_label("Tag").fill("east")
    page.wait_for_url("**/live?tag=east")
    has_rows(page, 1)
    scan(game, code, "failure")
    scan(game, other, "failure")
    has_rows(page, 2)
    page.get_by_label("Tag").fill("")
    has_rows(page, 5)

    wrong += faults_of_open_page(page)
    assert wrong == [], "\n".join(wrong)


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_rows_wait_while_the_page_is_scrolled_and_only_the_newest_stay(live: Callable[..., Any], game: Game) -> None:
    code = game.code(description="Dam Square")["code"]
    page = live(script=FAKE_SOCKET)

    page.evaluate("([code]) => scanned(60, code, 'success')", [code])
    has_rows(page, 60)
    page.evaluate("scrollTo(0, 1500)")
    page.wait_for_function("() => document.getElementById('feed').getBoundingClientRect().top < -100")
    page.evaluate("([code]) => scanned(12, code, 'success')", [code])
    page.get_by_role("button", name="12 new").wait_for()
    assert page.evaluate(ROWS) == 60
    page.evaluate("([code]) => scanned(600, code, 'success')", [code])
    page.get_by_role("button", name="612 new").click()
    has_rows(page, 500)
    assert page.evaluate("document.getElementById('feed').getBoundingClientRect().top") >= 0
    page.locator("#last-minute").get_by_text("672", exact=True).wait_for()
    assert page.locator("#feed > li").first.get_by_text("Dam Square").count() == 1
    page.locator("h1").click()
    page.keyboard.press("f")
    page.locator("body.is-wall").wait_for()
    assert not page.get_by_role("button", name="Pause").is_visible()
    page.keyboard.press("f")
    page.locator("body:not(.is-wall)").wait_for()


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_reset_loads_the_scans_that_were_missed(live: Callable[..., Any], game: Game) -> None:
    code = game.code(per_player_limit=None)
    page = live(script=FAKE_SOCKET)
    missed = [scan(game, code) for _ in range(2)]
    assert page.evaluate(ROWS) == 0

    page.evaluate("say({event: 'reset'})")
    has_rows(page, 2)
    with page.expect_response("**/live?fragment*"):
        page.evaluate("say({event: 'reset'})")

    assert page.evaluate("[...document.querySelectorAll('#feed > li')].map(row => row.dataset.scan)") == missed[::-1]
    page.locator("#last-hour").get_by_text("2", exact=True).wait_for()
    assert_land_continues_beyond_the_date_line(page)


LAND = """async outline => {
    const {land} = await import(document.body.dataset.static + 'js/land.js');
    const objects = {land: {geometries: [{arcs: [[[0]]]}]}};
    return land({arcs: [outline], transform: {scale: [1, 1], translate: [0, 0]}, objects}).coordinates[0][0];
}"""


def assert_land_continues_beyond_the_date_line(page: Any) -> None:
    across = page.evaluate(LAND, [[170, 60], [10, 0], [-359, 5], [0, -10], [359, 0], [-10, 5]])
    around = page.evaluate(LAND, [[-180, -80], [180, 5], [180, -5], [0, -10], [-360, 0]])

    assert [longitude for longitude, _ in across] == [170, 180, 181, 181, 180, 170]
    assert [longitude for longitude, _ in around] == [-180, 0, 180, 180, -180]


FRAMES = """async ([code, seconds, rate]) => {
    let frames = 0;
    let isRunning = true;
    const count = () => { frames += 1; if (isRunning) requestAnimationFrame(count); };
    requestAnimationFrame(count);
    for (let n = 0; n < seconds * 10; n++) {
        scanned(rate / 10, code, n % 5 ? 'success' : 'failure');
        await new Promise(done => setTimeout(done, 100));
    }
    isRunning = false;
    return frames;
}"""
"""Events at a rate per second. Return the number of frames."""
BURST = "([code]) => scanned(100, code, 'success')"


@pytest.mark.long
@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_fifty_events_a_second_leave_frames_short_and_memory_flat(live: Callable[..., Any], game: Game) -> None:
    """With 500 rows, and after 20,000 events. Frames are measured in the processor time of the page's thread."""
    code = game.code(description="Dam Square", latitude=52.37, longitude=4.89)["code"]
    page = live(script=FAKE_SOCKET)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    for _ in range(6):
        page.evaluate(BURST, [code])
        page.wait_for_timeout(300)

    before = busy_seconds(session)
    frames = page.evaluate(FRAMES, [code, 10, 50])
    assert (busy_seconds(session) - before) / frames < 0.05
    size = heap(session)
    for _ in range(200):
        page.evaluate(BURST, [code])
    page.wait_for_function(IS_IDLE)

    assert heap(session) < size * 1.1 + 1_000_000


def busy_seconds(session: Any) -> float:
    metrics = session.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def heap(session: Any) -> float:
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"])
