"""The map of all codes: what it loads, what it lists, and its use by keyboard."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.pages.conftest import Game
from tests.pages.page_checks import faults_of_page
from tests.pages.test_every_page import MARKUP, sign_in
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff
from tests.support.factories import make_code

POSITIONS = {
    "52.3731, 4.8926": [52.3731, 4.8926],
    " 52.3731 4.8926 ": [52.3731, 4.8926],
    "-33.8568;151.2153": [-33.8568, 151.2153],
    "52.3731° N, 4.8926° W": [52.3731, -4.8926],
    "52°22'23.2\"N 4°53'33.4\"E": [52.373111, 4.892611],
    "geo:52.3731,4.8926?z=19": [52.3731, 4.8926],
    "https://www.openstreetmap.org/?mlat=52.3731&mlon=4.8926#map=5/10/20": [52.3731, 4.8926],
    "https://www.openstreetmap.org/#map=18/52.3731/4.8926": [52.3731, 4.8926],
    "https://www.google.com/maps/place/Dam/@52.3,4.8,17z/data=!3m1!3d52.3731!4d4.8926": [52.3731, 4.8926],
    "https://www.google.com/maps/@52.3731,4.8926,17z": [52.3731, 4.8926],
    "https://maps.google.com/?q=52.3731%2C4.8926": [52.3731, 4.8926],
    "https://maps.apple.com/?ll=52.3731,4.8926&q=Dam": [52.3731, 4.8926],
    "https://bing.com/maps?cp=52.3731~4.8926": [52.3731, 4.8926],
    "91, 4": None,
    "52.3731": None,
    "Dam Square": None,
    "https://example.com/%E0%A4%A": None,
    "": None,
}
GEO = """async texts => {
    const geo = await import(document.body.dataset.static + 'js/geo.js');
    const pair = position => position && [position.latitude, position.longitude];
    return {
        parsed: texts.map(text => pair(geo.parsePosition(text))),
        moved: [[0, 1], [10, 0], [-1, -1]].map(by => pair(geo.offset({latitude: 52.3731, longitude: 4.8926}, ...by))),
        wrapped: pair(geo.normalized(95, 190)),
    };
}"""


@pytest.fixture
def slug(conn: Conn, staff: Staff) -> str:
    return organizations.get_slug(conn, staff.org_id)


def test_policy_of_a_map_names_the_tile_server(
    app: Any, serve: Callable[..., Any], staff: Staff, slug: str, conn: Conn
) -> None:
    path = f"/o/{slug}/map"
    make_code(conn, staff.org_id, latitude=1, longitude=2)
    own = browser_of(app, staff.member).get(path, headers=BROWSER)
    tiles = serve(MAP_TILES="https://Tiles.example:8443/{z}/{x}/{y}.png?key=a", MAP_ATTRIBUTION="By <b>x</b>")
    opened = browser_of(tiles.application, staff.member)
    with_tiles, account = (opened.get(each, headers=BROWSER) for each in (path, "/account"))

    assert "img-src 'self' blob:;" in own.headers["Content-Security-Policy"]
    assert "data-tiles" not in own.text
    policy = with_tiles.headers["Content-Security-Policy"]
    assert "img-src 'self' blob: https://tiles.example:8443;" in policy
    assert "trusted-types waymark default" in policy
    assert 'data-attribution="By &lt;b&gt;x&lt;/b&gt;"' in with_tiles.text
    assert "tiles.example" not in account.headers["Content-Security-Policy"]


def test_map_lists_the_codes_of_its_own_organization(app: Any, conn: Conn, staff: Staff, slug: str) -> None:
    assert "No codes have a location yet." in browser_of(app, staff.member).get(f"/o/{slug}/map").text
    make_code(conn, staff.org_id, code="near", latitude=1, longitude=2)
    make_code(conn, staff.org_id, code="nowhere")
    make_code(conn, code="of-others", latitude=1, longitude=2)

    member, admin = (browser_of(app, staff[role]).get(f"/o/{slug}/map").text for role in ("member", "admin"))

    other = browser_of(app, staff.member).get(f"/o/{slug}/map?q=else&scan_type=nonsense&active=%00").text

    assert re.findall('class="mono">(.*?)<', member) == ["near"]
    assert ("near" in other, 'value="else"' in other) == (False, True)
    assert ("New code" in member, "New code" in admin) == (False, True)


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_positions_are_read_as_people_paste_them(desktop: Any) -> None:
    desktop.goto("/about")
    found = desktop.evaluate(GEO, list(POSITIONS))

    assert dict(zip(POSITIONS, found["parsed"], strict=True)) == POSITIONS
    assert found["moved"] == [[52.373109, 4.8926], [52.3731, 4.892747], [52.373091, 4.892585]]
    assert found["wrapped"] == [90, -170]


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_map_is_used_by_keyboard(open_context: Callable[..., Any], game: Game) -> None:
    """Markup in a code's description is never on the map; its list chooses a code, and opens it."""
    game.api.ask("PATCH", f"/api/organizations/{game.org_id}", game.owner["access_token"], {"name": MARKUP[:90]})
    path = f"/o/{game.organization['slug']}/map"
    context = open_context(reduced_motion="reduce")
    sign_in(context, game.owner["username"])
    page = context.new_page()
    wrong = faults_of_page(page, path)
    for code, latitude in (("beta", 52.3731), ("alpha", 52.3741)):
        game.code(code=f"{code}-{game.org_id[-6:]}", latitude=latitude, longitude=4.8926, active=code == "beta")
    wrong += faults_of_page(page, path)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(path)
    page.get_by_text("2 codes").wait_for()

    page.locator("#places").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.locator(".leaflet-tooltip", has_text="beta").wait_for()
    page.locator("#active").select_option("false")
    page.get_by_text("1 code", exact=True).wait_for()
    filtered = page.locator("[role=option]").all_inner_texts()
    page.locator("#places").focus()
    page.keyboard.press("Home")
    assert page.locator("#chosen a").get_attribute("href").startswith(f"/o/{game.organization['slug']}/codes/")
    page.locator(".map-view").focus()
    before = page.locator("#places-count").inner_text()
    page.keyboard.press("ArrowRight")
    for _ in range(8):
        page.keyboard.press("+")
    page.locator("#places-count", has_text="0 codes").or_(page.get_by_text("No codes match")).wait_for()

    assert [text.split()[0].split("-")[0] for text in filtered] == ["alpha"]
    assert page.url.endswith("?active=false")
    assert before == "1 code"
    assert wrong == [], "\n".join(wrong)
