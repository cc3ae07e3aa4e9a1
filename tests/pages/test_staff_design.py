"""The design of a code and of all codes: its preview by the server, its proofs, and what is stored."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from shared.images.contrast import contrast_ratio, round_down
from shared.infra.db import Conn
from shared.organizations import store as organizations
from tests.images.designs import logo
from tests.pages.browsers import Complaints
from tests.pages.conftest import Game
from tests.pages.html_checks import faults_of
from tests.pages.page_checks import faults_of_open_page, faults_of_page
from tests.pages.test_every_page import sign_in
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code

COLORS = ["#000000", "#FFFFFF", "#0A0A0A", "#0B0B0B", "#949494", "#959595", "#1A4D8F", "#14532D", "#ffd700", "#8A2D12"]
CONTRASTS = """async pairs => {
    const {contrast} = await import(document.body.dataset.static + 'js/staff/contrast.js');
    return pairs.map(([one, other]) => contrast(one, other));
}"""


@pytest.fixture
def slug(conn: Conn, staff: Staff) -> str:
    return organizations.get_slug(conn, staff.org_id)


def test_design_is_for_admins_of_its_organization(app: Any, client: Any, conn: Conn, staff: Staff, slug: str) -> None:
    code, other = make_code(conn, staff.org_id), make_code(conn, make_staff(app, conn).org_id)
    client.patch(staff.path, json={"color": "#B91C1C"}, headers=staff.owner.headers)
    client.put(f"{staff.path}/customization", json={"style": "dots"}, headers=staff.admin.headers)
    admin, analyst = browser_of(app, staff.admin), browser_of(app, staff.analyst)
    paths = [f"/o/{slug}/design", f"/o/{slug}/codes/{code}/design"]

    opened = [admin.get(path, headers=BROWSER) for path in paths]

    for page, owner in zip(opened, (staff.path, f"{staff.path}/qr-codes/{code}"), strict=True):
        config = json.loads(re.findall('id="design">(.*?)</script>', page.text)[0])
        assert (config["api"], config["stored"]["style"]) == (f"{owner}/customization", "dots")
        assert "img-src 'self' blob:" in page.headers["Content-Security-Policy"]
        assert "Brand color" in page.text
        assert faults_of(page.text) == []
    assert "This code has the design of your organization." in opened[1].text
    assert [analyst.get(path).status_code for path in paths] == [404, 404]
    assert admin.get(f"/o/{slug}/codes/{other}/design").status_code == 404


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_contrast_is_that_of_the_server(desktop: Any) -> None:
    pairs = [(one, other) for one in COLORS for other in COLORS]
    desktop.goto("/about")

    shown = desktop.evaluate(CONTRASTS, pairs)

    assert dict(zip(pairs, shown, strict=True)) == {pair: round_down(contrast_ratio(*pair)) for pair in pairs}


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_design_is_refused_fixed_and_saved(
    open_context: Callable[..., Any], game: Game, complaints: Complaints
) -> None:
    code, owner = game.code(), game.owner["access_token"]
    api = f"/api/organizations/{game.org_id}/qr-codes/{code['id']}/customization"
    context = open_context()
    sign_in(context, game.owner["username"])
    page = context.new_page()
    path = f"/o/{game.organization['slug']}/codes/{code['id']}/design"
    wrong = faults_of_page(page, path)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(path)
    page.locator("#proof-readable", has_text="Readable").wait_for()
    image = page.get_by_role("img", name=f"QR code {code['code']}, #000000 on #FFFFFF, square modules")
    image.wait_for()
    first = image.get_attribute("src")

    complaints.expect("422")
    page.fill("#foreground_color", "#FFD700")
    contrast = page.locator("#proof-contrast").inner_text()
    page.get_by_role("button", name="Darken to").wait_for()
    shown = [page.locator("#preview").get_attribute("class"), page.locator("#preview img").get_attribute("src")]
    wrong += [f"refused: {fault}" for fault in faults_of_open_page(page)]
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("button", name="Darken to").click()
    page.locator("#proof-readable.tone-ok").wait_for()
    fixed = page.input_value("#foreground_color")
    page.get_by_role("button", name="Forest").click()
    page.locator("#logo").set_input_files({"name": "logo.txt", "mimeType": "text/plain", "buffer": b"x"})
    refusal = page.locator("#logo-error").inner_text()
    page.locator("#logo").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": logo()})
    page.locator("#proof-level", has_text="Error correction H, because of the logo").wait_for()
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Save").click()
    page.locator(".toast", has_text="Saved").wait_for()
    stored = game.api.ask("GET", api, owner)
    page.get_by_label("Dots").check()
    page.get_by_role("button", name="Discard changes").click()
    kept = page.get_by_label("Rounded").is_checked()
    page.get_by_role("button", name="Reset to default").click()
    page.get_by_role("dialog").get_by_role("button", name="Reset").click()
    page.locator(".toast", has_text="Reset").wait_for()

    assert contrast == "Contrast 1.4:1, at least 3:1 is needed"
    assert shown == ["paper is-refused", first], "the old image stays, in gray"
    assert fixed not in ("#FFD700", "#000000")
    assert refusal == "Use a PNG or a JPEG."
    figures = ("foreground_color", "style", "logo_size_percent", "has_logo")
    assert [stored[name] for name in figures] == ["#14532D", "rounded", 21, True]
    assert kept
    assert [game.api.ask("GET", api, owner)[name] for name in figures] == ["#000000", "squares", 20, False]
    assert wrong == [], "\n".join(wrong)


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_design_of_all_codes(open_context: Callable[..., Any], game: Game) -> None:
    context = open_context()
    sign_in(context, game.owner["username"])
    page = context.new_page()
    path = f"/o/{game.organization['slug']}/design"
    wrong = faults_of_page(page, path)
    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(path)
    page.get_by_role("button", name="Brick").focus()
    page.keyboard.press("Enter")
    page.get_by_role("img", name="A QR code, #8A2D12 on #FFFFFF, dots").wait_for()
    page.get_by_role("button", name="Save").click()
    page.locator(".toast", has_text="Saved").wait_for()

    stored = game.api.ask("GET", f"/api/organizations/{game.org_id}/customization", game.owner["access_token"])
    assert (stored["foreground_color"], stored["style"]) == ("#8A2D12", "dots")
    assert wrong == [], "\n".join(wrong)
