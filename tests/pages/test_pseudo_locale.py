"""All pages in a pseudo-locale and from right to left: no plain English is left, and nothing overflows."""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from shared.codes import screens
from shared.imports import store as imports
from shared.infra.db import Conn
from shared.organizations.rules import ROLES
from shared.quests import organization_quests as quests
from shared.quests.definitions import QuestDefinition
from shared.scans.model import Coordinates, Reason
from tests.conftest import PASSWORD
from tests.pages.browsers import Complaints, watch
from tests.pages.pseudo_locale import PSEUDO, pseudo_locale
from tests.pages.test_access import PAGES
from tests.renders.factories import make_render
from tests.support.callers import add_member
from tests.support.factories import code_text, make_code, make_encounter, make_held_scan, make_org, submit_scan
from tests.support.threaded_server import serving
from web.pages.assets import load_assets
from workers.scans import judge_pending

pytestmark = pytest.mark.system

OPEN = [rule for rule, who in PAGES.items() if who not in ROLES]
REFUSED = "/o/{slug}"
"""One page of staff: all of them refuse visitors alike."""
SMALL = {"width": 320, "height": 640}
DATA = ("Waymark", "Harbor Trail", "harbor", "Dam Square", "spy gadget", "ada")
"""Names, which no catalog translates."""
UNTRANSLATED = re.compile(
    r"https?://[\w.:/-]*|[0-9a-f]{8}-[0-9a-f-]{27}|\b(PDF|PNG|SVG|CSV|UTC|mm|km|Avery( Zweckform)?( \w+)?)\b"
    r"|\b\w+(_\w+)+\b|#[0-9A-F]{6}\b"
)
"""Addresses, ids, formats, units, products, names of fields and settings, and colors."""
TEXTS = """() => {
    const kept = 'script, style, noscript, code, #timezone, #language, .icon-names';
    const texts = [document.title];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) if (!walker.currentNode.parentElement.closest(kept)) texts.push(walker.currentNode.data);
    for (const element of document.querySelectorAll('body *'))
        for (const name of ['aria-label', 'title', 'alt', 'placeholder'])
            if (element.hasAttribute(name)) texts.push(element.getAttribute(name));
    return texts.map(text => text.trim()).filter(Boolean);
}"""
OVERFLOW = """() => {
    const width = document.documentElement.clientWidth;
    const describe = element => `${element.tagName}.${element.className} ${element.textContent.trim().slice(0, 40)}`;
    const texts = [...document.querySelectorAll('body *')].filter(element =>
        !element.closest('.visually-hidden, [hidden], svg, option')
        && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
    const range = document.createRange();
    const scrolls = element => element
        && (/auto|scroll/.test(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
    const wide = texts.filter(element => {
        if (scrolls(element)) return false;
        range.selectNodeContents(element);
        const text = range.getBoundingClientRect();
        const box = element.closest('.tab, .button, .card, body').getBoundingClientRect();
        return text.width && (text.right > Math.min(width, box.right) + 1 || text.left < Math.max(0, box.left) - 1);
    });
    if (document.documentElement.scrollWidth > width) wide.push(document.documentElement);
    return wide.map(describe);
}"""
"""Texts that leave the window, or the tab, button or card that they are in."""

READY = """() => {
    const view = document.querySelector('#view');
    return !view || (view.querySelector('h1, .empty, button') && !view.querySelector('.loading'));
}"""
"""Whether the view of the player is there, if the page has one."""

REGISTER = """body => fetch('/session/register', {
    method: 'POST', headers: {'Content-Type': 'application/json'}, body: JSON.stringify(body),
}).then(response => response.json())"""
CLUES = {
    "text": "Dam Square",
    "cipher": "harbor",
    "hint": "ada",
    "sequence": [1, 2, 4],
    "grid": [[1, 2], [3, 4]],
}
QUEST = {
    "name": "harbor-trail",
    "description": "Dam Square",
    "organization": "Harbor Trail",
    "daily": True,
    "streak": 5,
    "progress": 3,
    "days": ["2026-11-24", "2026-11-25", "2026-11-27"],
    "duplication": 2,
    "completions": 0,
    "claims": 0,
    "claimable": 0,
    "reward": {"item": "spy_gadget", "qty": 2},
}
QUESTS = [QUEST, QUEST | {"name": "harbor-2", "claimable": 1}, QUEST | {"name": "harbor-3", "completions": 2}]
"""In progress, with a reward to claim, and over."""
WORDS = """async ([js, reasons]) => {
    const {verdictOf} = await import(`${js}/player/verdicts.js`);
    const {textsOf} = await import(`${js}/player/location-help.js`);
    const {cameraHelp} = await import(`${js}/player/camera-help.js`);
    const {Problem} = await import(`${js}/core/api.js`);
    const scan = {nonce: '1', player_id: '2', qr_code: '3', scanned_at: '2026-11-28T12:00:00Z', problem: 'English'};
    const gifts = [{reward: '4'}, {encounter: {}}, {destination: {description: '5'}}, {}];
    const verdicts = [
        ...gifts.map(gift => ({status: 'success', ...gift})),
        {status: 'held'}, {status: 'annulled'}, {status: 'failure', reason: 'new', message: 'English'},
        ...reasons.map(reason => ({status: 'failure', reason, message: 'English'})),
    ];
    const states = ['locating', 'waiting', 'sending', 'sent', 'refused', 'needs_sign_in'];
    const shown = [
        ...verdicts.map(verdict => verdictOf({...scan, state: 'settled', verdict})),
        ...states.map(state => verdictOf({...scan, state, verdict: null})),
        verdictOf({...scan, state: 'sent', verdict: null}, {isPatient: false}),
    ];
    const kinds = ['insecure', 'denied', 'timeout', 'imprecise', 'approximate'];
    const help = kinds.flatMap(kind => ['ios', 'android', 'other'].map(system => textsOf(kind, system)));
    const cameras = ['denied', 'insecure', 'missing', 'busy', 'paused', 'unreadable']
        .flatMap(state => ['iPhone', 'Android', 'X11'].map(agent => cameraHelp(state, agent)));
    const statuses = [0, 400, 401, 403, 404, 409, 410, 413, 422, 429, 500, 503];
    return [
        ...shown.flatMap(({headline, line, actions}) => [headline, line, ...actions.map(({label}) => label)]),
        ...help.flatMap(({title, line, steps}) => [title, line, ...steps]),
        ...cameras.flatMap(({title, steps}) => [title, ...steps]),
        ...statuses.map(status => new Problem(status, {detail: 'English'}).message),
    ];
}"""
"""Every text that the modules choose by a reason, a state, a platform or a status. The API's own are English."""


@pytest.fixture(scope="module")
def address(app: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve all pages in the pseudo-locale."""
    with pseudo_locale(tmp_path_factory.mktemp("catalogs")), serving(app) as address:
        yield f"http://{address}"


@pytest.fixture
def page(address: str, conn: Conn, browser: Any, complaints: Complaints) -> Iterator[Any]:
    """Return a page of a small phone in the pseudo-locale. Dates and numbers are in another script than English."""
    context = browser.new_context(base_url=address, viewport=SMALL, locale=PSEUDO)
    watch(context, complaints)
    yield context.new_page()
    context.close()


@pytest.fixture
def places(conn: Conn) -> dict[str, str]:
    """Return what the parameters of paths stand for."""
    org_id = make_org(conn, "harbor")
    code = make_code(conn, org_id, description="Dam Square", requires_location=False)
    return {"slug": "harbor", "code": code_text(conn, code), "item": "spy_gadget"}


def plain_texts(page: Any) -> list[str]:
    """Return the texts of a page that are not in the catalog."""
    known = re.compile("|".join(re.escape(word) for word in DATA), re.IGNORECASE)
    texts = page.evaluate(TEXTS)
    return [text for text in texts if re.search("[A-Za-z]{2}", UNTRANSLATED.sub("", known.sub("", text)))]


def look(page: Any, path: str, places: dict[str, str]) -> list[str]:
    """Open a page. Return its texts that are not translated, and the elements that are too wide."""
    page.goto(re.sub(r"{(\w+)}", lambda match: places.get(match[1], "none"), path))
    page.wait_for_function(READY)
    wide = page.evaluate(OVERFLOW)
    page.evaluate("document.documentElement.dir = 'rtl'")
    wide_rtl = page.evaluate(OVERFLOW)
    return [
        f"{path}: {kind}: {text}"
        for kind, texts in (("plain", plain_texts(page)), ("wide", wide), ("wide from right to left", wide_rtl))
        for text in texts
    ]


def test_pages_of_a_visitor_have_no_plain_english_and_fit(
    page: Any, places: dict[str, str], complaints: Complaints
) -> None:
    complaints.expect("status of 4")
    assert [found for path in (*OPEN, REFUSED) for found in look(page, path, places)] == []


def test_pages_of_a_player_have_no_plain_english_and_fit(
    page: Any, conn: Conn, places: dict[str, str], complaints: Complaints
) -> None:
    complaints.expect("status of 4")
    complaints.expect("status of 503")
    page.goto("/about")
    player_id = page.evaluate(REGISTER, {"username": "ada", "password": PASSWORD})["player_id"]
    org_id = make_org(conn, "harbor-2")
    add_member(conn, org_id, player_id, "owner")
    puzzle = make_code(conn, org_id, scan_type="encounter", description="Dam Square", reward_item="spy_gadget")
    make_encounter(conn, puzzle, CLUES)
    drop = make_code(conn, org_id, description="Dam Square", reward_item="spy_gadget", reward_quantity=2)
    scans = [submit_scan(conn, player_id, code) for code in (puzzle, drop, drop)]
    judge_pending()
    submit_scan(conn, player_id, drop)
    make_held_scan(conn, player_id, drop)
    places |= {"scan_id": str(scans[0]), "nonce": str(scans[1])}
    page.route("**/api/v1/quests?*", lambda route: route.fulfill(json={"items": QUESTS, "next_cursor": None}))

    found = [found for path in (*OPEN, REFUSED) for found in look(page, path, places)]
    page.goto("/account")
    page.locator("#delete-account").click()
    page.locator("#owned select").wait_for()
    page.locator("#create-transfer").dispatch_event("click")
    page.wait_for_function("() => document.querySelector('#transfer-left').textContent")
    assert found + plain_texts(page) + page.evaluate(OVERFLOW) == []


def test_pages_of_staff_have_no_plain_english_and_fit(page: Any, conn: Conn) -> None:
    page.goto("/about")
    ada = page.evaluate(REGISTER, {"username": "ada", "password": PASSWORD})["player_id"]
    org_id = make_org(conn, "harbor")
    add_member(conn, org_id, ada, "owner")
    code = make_code(
        conn, org_id, Coordinates(52.37, 4.89), code="harbor-1", reward_item="spy_gadget", description="Dam Square"
    )
    rotating = make_code(conn, org_id, code="harbor-2", reward_item="spy_gadget", rotating=True)
    screens.add(conn, org_id, rotating, "Dam Square", screens.new_token())
    quest = QuestDefinition("harbor", description="Dam Square", streak=1, tags=("harbor",))
    quests.add(conn, org_id, quest, active=True, reserved=())
    submit_scan(conn, ada, code)
    judge_pending()
    things = {
        "slug": "harbor",
        "code_id": str(code),
        "scan_id": str(make_held_scan(conn, ada, code)),
        "render_id": str(make_render(conn, org_id, code)),
        "import_id": str(imports.create(conn, org_id, partial=False).id),
        "name": quest.name,
    }

    rules = [rule for rule in PAGES if PAGES[rule] in ROLES]
    found = [line for rule in rules for line in look(page, rule, things)]
    assert found == [], "\n".join(found)


def test_words_of_every_verdict_and_problem_are_translated(page: Any) -> None:
    page.goto("/about")
    texts = page.evaluate(WORDS, [f"/static/{load_assets().digest}/js", sorted(get_args(Reason))])
    assert len(texts) > 100
    assert [text for text in texts if re.search("[A-Za-z]{2}", text)] == []
