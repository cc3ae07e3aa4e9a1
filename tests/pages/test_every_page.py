"""What holds for all pages: accessible, nothing inline, as wide as the window, small, and no text becomes markup."""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.organizations.rules import ROLES
from tests.conftest import PASSWORD
from tests.pages.conftest import Game
from tests.pages.html_checks import faults_of, forbidden_in
from tests.pages.page_checks import clipped_texts, faults_of_page, keyboard_faults, over_limits, sizes_of
from tests.pages.test_access import PAGES
from tests.support.browser_sessions import SAME
from web.pages import layout

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]
TEMPLATES = Path(layout.__file__).parent / "templates"
MARKUP = '"><script>hacked = 1</script><img src=x onerror="hacked = 2">\''
"""A text that runs where a page does not escape it."""
SIZE_LIMITS = {
    "/sign-in": (12, 13, 34, 70, 10),
    "/s/{code}": (22, 13, 34, 80, 14),
    "/play/scan": (30, 13, 34, 90, 16),
}
"""By page, for a first visit: kB of scripts, styles, fonts and in total, as sent, and the number of requests. Without
the decoder and its WebAssembly, which are loaded when the camera needs them."""


@dataclass(frozen=True)
class World:
    """An organization and a player whose texts are markup, with something on each page."""

    game: Game
    username: str
    paths: dict[str, str]
    """By rule of test_access: a path that exists."""


@pytest.fixture
def world(game: Game) -> World:
    """Write markup into each text that a page shows."""
    staff, player = game.owner["access_token"], game.api.register()
    organization = f"/api/organizations/{game.org_id}"
    game.api.ask("PATCH", organization, staff, {"name": f"Harbor {MARKUP}", "color": "#B91C1C"})
    puzzle = {
        "puzzle_type": "decryption",
        "difficulty_level": 4,
        "data": {"text": MARKUP, "hint": MARKUP, "choices": [MARKUP, "b"]},
        "solution": "b",
    }
    item = game.code(description=f"Item {MARKUP}")
    encounter = game.code(scan_type="encounter", encounter=puzzle, reward=None, description=f"Puzzle {MARKUP}")
    rotating = game.code(description=f"Screen {MARKUP}", rotating=True)
    quest = {
        "name": f"quest-{game.organization['slug']}",
        "description": f"Quest {MARKUP}",
        "codes": [item["code"]],
        "streak": 1,
        "reward": {"item": "badge", "quantity": 1},
        "active": True,
    }
    game.api.ask("POST", f"{organization}/quests", staff, quest)
    screens = f"{organization}/qr-codes/{rotating['id']}/screens"
    scans = [
        game.api.ask(
            "POST",
            "/scan",
            player["access_token"],
            {"player_id": player["player_id"], "qr_code": code["code"]},
            Prefer="wait=10",
        )
        for code in (item, encounter)
    ]
    assert [scan["status"] for scan in scans] == ["success", "success"]
    invitation = game.api.ask("POST", f"{organization}/invitations", staff, {"role": "analyst"})
    paths = {rule: rule for rule in PAGES if "{" not in rule} | {
        "/b/{slug}": f"/b/{game.organization['slug']}",
        "/invitations/{token}": urlsplit(invitation["url"]).path,
        "/s/{code}": f"/s/{item['code']}",
        "/screen/{token}": game.api.ask("POST", screens, staff, {"name": "Entrance"})["url"],
        "/play/puzzle/{scan_id}": f"/play/puzzle/{scans[1]['scan_id']}",
        "/play/redeem/{item}": "/play/redeem/spy_gadget",
        "/play/result/{nonce}": f"/play/result/{scans[0]['scan_id']}",
    }
    assert paths.keys() == {rule for rule in PAGES if PAGES[rule] not in ROLES}
    return World(game, player["username"], paths)


def sign_in(context: Any, username: str) -> None:
    body = {"username": username, "password": PASSWORD}
    assert context.request.post("/session", data=body, headers=SAME).ok


VISITORS = ("/", "/sign-in", "/create-account", "/continue", "/about", "/about/components", "/b/{slug}", "/s/{code}")


@pytest.mark.parametrize("signed_in", [False, True], ids=["visitor", "player"])
def test_every_page_is_accessible_and_fits(open_context: Callable[..., Any], world: World, signed_in: bool) -> None:
    """Markup in the texts of others is shown as text. A script that ran would also violate the policy."""
    context = open_context(reduced_motion="reduce")
    rules: tuple[str, ...] = VISITORS
    if signed_in:
        sign_in(context, world.username)
        rules = tuple(world.paths.keys() - VISITORS)
    page, wrong, shown = context.new_page(), [], ""
    for rule in sorted(rules):
        found = [*faults_of_page(page, world.paths[rule]), *clipped_texts(page), *keyboard_faults(page)]
        wrong += [f"{rule} {fault}" for fault in found]
        assert page.evaluate("typeof hacked") == "undefined", rule
        shown += page.locator("body").inner_text()

    assert wrong == [], "\n".join(wrong)
    texts = ("Screen", "Puzzle", "Quest", "Harbor") if signed_in else ("Item", "Harbor")
    assert [text for text in texts if f"{text} {MARKUP}" not in shown] == []


@pytest.mark.parametrize("rule", SIZE_LIMITS)
def test_page_stays_within_its_size(open_context: Callable[..., Any], world: World, rule: str) -> None:
    context = open_context(phone=True, service_workers="block")
    figures = sizes_of(context.new_page(), world.paths[rule])
    assert over_limits(figures, SIZE_LIMITS[rule]) == []


@pytest.mark.parametrize("file", sorted(Path(__file__).parent.glob("*.py")), ids=lambda file: file.name)
def test_scripts_that_are_polled_are_functions(file: Path) -> None:
    """From its second poll on, Playwright evaluates any other text in the page, where the policy refuses it."""
    source = ast.parse(file.read_text())
    constants = {
        target.id: each.value
        for each in source.body
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    polled = [
        constants[call.args[0].id] if isinstance(call.args[0], ast.Name) else call.args[0]
        for call in ast.walk(source)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "wait_for_function"
    ]
    texts = [ast.unparse(script) for script in polled]
    assert [text for text in texts if not re.match(r"f?['\"]+(async )?(\w+|\([^)]*\)) =>", text)] == []


def test_templates_contain_nothing_that_the_policy_refuses() -> None:
    # The bare layout has the only style, which its policy names by its hash.
    wrong = {
        file.name: found
        for file in TEMPLATES.rglob("*.html")
        if file.name != "bare.html" and (found := forbidden_in(file.read_text()))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ("<!doctype html><p>a", "<p> is not closed"),
        ("<!doctype html><p><b>a</p></b>", "</p> closes another element"),
        ('<!doctype html><p id="a"></p><p id="a"></p>', "the id a occurs twice"),
        ('<!doctype html><p class="a" class="b"></p>', "<p> has an attribute twice: ['class', 'class']"),
        ("<p></p>", "there is no doctype"),
    ],
)
def test_faulty_html_is_noticed(html: str, fault: str) -> None:
    """The negative control of the checks."""
    assert fault in faults_of(html)


@pytest.mark.parametrize(
    "template",
    ["<script>a</script>", '<p style="a">', "<style>", '<p onclick="a">', '<a href="javascript:a">', "{{ a | safe }}"],
)
def test_forbidden_markup_is_noticed(template: str) -> None:
    assert forbidden_in(template)
    assert not forbidden_in('<script type="module" src="a.js"></script><p class="a" data-on="b">c</p>')
