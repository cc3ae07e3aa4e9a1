"""Pages that refuse, fail, wait or are empty: as accessible, and as narrow, as those that show something."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import g

from script.stack import RunningServer
from tests.pages.browsers import Complaints
from tests.pages.check_ins import sign_in, tap
from tests.pages.conftest import Game
from tests.pages.page_checks import clipped_texts, faults, faults_of_open_page, keyboard_faults
from tests.support.browser_sessions import BROWSER
from web.pages.layout import render_page

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]

DENY = "() => { navigator.geolocation.watchPosition = (_, failed) => (setTimeout(() => failed({code: 1})), 1); }"
SOON, LATE = "2999-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
PUZZLE: dict[str, Any] = {
    "scan_id": "1",
    "encounter_id": "2",
    "qr_code": "spy123",
    "description": "The warehouse door",
    "difficulty_level": 4,
    "data": {"text": "The foreman left a note."},
    "attempts_left": 1,
    "closes_at": SOON,
    "solved": False,
    "reward": None,
    "quantity": None,
}
PUZZLES: dict[str, dict[str, Any]] = {
    "open": {},
    "solved": {"solved": True, "reward": "coffee", "quantity": 2},
    "spent": {"attempts_left": 0},
    "closed": {"closes_at": LATE},
}
VERDICTS: dict[str, dict[str, Any]] = {
    "reward": {"status": "success", "reward": "coffee", "quantity": 2},
    "puzzle": {"status": "success", "encounter": {}},
    "destination": {"status": "success", "destination": {"code": "spy124", "description": "Old Harbor"}},
    "counted": {"status": "success"},
    "held": {"status": "held"},
    "annulled": {"status": "annulled"},
    "not_present": {"status": "failure", "reason": "not_present"},
    "cooldown": {"status": "failure", "reason": "cooldown"},
    "sold_out": {"status": "failure", "reason": "sold_out"},
    "not_judged": {"status": "failure", "reason": "not_judged"},
}
STATES = ("waiting", "sent", "refused", "needs_sign_in")
PUT = """async ([player, records]) => {
    const {put} = await import(document.body.dataset.static + 'js/player/outbox.js');
    for (const record of records) await put({
        player_id: player, qr_code: 'spy123', description: 'The lighthouse at the end of the northernmost pier',
        latitude: null, longitude: null, accuracy: null, scanned_at: new Date().toISOString(), tries: 0,
        scan_id: '01890000-0000-7000-8000-000000000000', verdict: null, seen: true, ...record});
}"""
FAULTY = """() => {
    const add = (html, style) => {
        const [name, text, parent] = html;
        const element = document.createElement(name);
        element.textContent = text;
        Object.assign(element.style, style);
        (parent ?? document.querySelector('main')).append(element);
        return element;
    };
    add(['button', 'A button without a ring'], {outline: 'none'});
    add(['button', 'A button behind a bar'], {position: 'fixed', insetBlockEnd: '10px'});
    add(['div', 'A bar', document.body], {position: 'fixed', insetInline: 0, insetBlockEnd: 0, height: '60px',
        background: 'white', zIndex: 9});
    add(['p', 'A line that is cut off when it is spaced'], {height: '1.2em', lineHeight: 1.2, overflow: 'hidden'});
    add(['p', 'Pale words'], {color: 'silver', background: 'white'});
    add(['p', 'A wide line'], {width: '2000px'});
    add(['button', 'A button that Tab passes'], {}).tabIndex = -1;
}"""


@pytest.fixture
def check() -> Iterator[Callable[..., None]]:
    """Return a function that looks at the page in every shape. What it finds fails the test at its end."""
    wrong: list[str] = []

    def look(page: Any, state: str) -> None:
        wrong.extend(f"{state}: {fault}" for fault in faults_of_open_page(page))

    yield look
    assert wrong == [], "\n".join(wrong)


def follow(page: Any, path: str) -> None:
    """Open another view of the player, as its link does: without a load."""
    page.evaluate("async (path) => { await navigation.navigate(path).finished; }", path)


def answering(**answer: Any) -> Callable[[Any], None]:
    """Return what answers a request like this."""
    return lambda route: route.fulfill(**answer)


def test_faults_are_noticed(desktop: Any) -> None:
    """The negative control of the checks."""
    desktop.goto("/about")
    desktop.evaluate(FAULTY)

    found = "\n".join([*faults_of_open_page(desktop), *clipped_texts(desktop), *keyboard_faults(desktop)])

    for fault, text in (
        ("at 390, light: color-contrast", "Pale words"),
        ("at 1280, dark: color-contrast", "Pale words"),
        ("too wide at 320", "A wide line"),
        ("clipped when spaced", "A line that is cut off"),
        ("the focus is not seen", "A button without a ring"),
        ("hidden by", "A button behind a bar"),
        ("not reached by Tab", "A button that Tab passes"),
    ):
        assert re.search(f"{fault}.*{text}", found), f"{fault}: {text} is not in {found}"


def test_errors_of_pages_and_codes(
    desktop: Any, app: Any, game: Game, complaints: Complaints, check: Callable[..., None]
) -> None:
    complaints.expect("status of 4")
    complaints.expect("status of 5")
    paths = {
        "unknown page": "/nowhere",
        "unknown code": "/s/never-made",
        "unknown organization": "/b/never-made",
        "code before its start": f"/s/{game.code(starts_at=SOON)['code']}",
        "inactive code": f"/s/{game.code(active=False)['code']}",
        "rotating code without its proof": f"/s/{game.code(rotating=True)['code']}",
        "revoked screen": "/screen/never-made",
        "expired transfer": f"/continue#{'x' * 43}",
    }
    for state, path in paths.items():
        desktop.goto(path)
        check(desktop, state)
    for status in (410, 429, 500, 503):
        with app.test_request_context("/failed", headers=BROWSER):
            g.caller, g.request_id = None, "01a22274-0f9e-7a62-8909-83bc68420472"
            page = render_page("error.html", status, problem_status=status, request_id=g.request_id)
        answer = {"status": status, "body": page.get_data(as_text=True), "headers": dict(page.headers)}
        desktop.route("**/failed", answering(**answer))
        desktop.goto("/failed")
        check(desktop, f"error {status}")
        desktop.unroute("**/failed")


def test_forms_that_are_refused(
    desktop: Any, game: Game, complaints: Complaints, check: Callable[..., None], site: RunningServer
) -> None:
    complaints.expect("status of 4")
    desktop.goto("/sign-in")
    desktop.get_by_label("Username").fill("ada")
    desktop.get_by_label("Password", exact=True).fill("wrong")
    desktop.get_by_role("button", name="Sign in").click()
    desktop.get_by_text("Incorrect username or password.").wait_for()
    check(desktop, "sign-in refused")
    desktop.goto("/create-account")
    desktop.get_by_label("Username").fill("a b")
    desktop.get_by_label("Password", exact=True).fill("short")
    desktop.get_by_role("button", name="Create account").click()
    desktop.locator("[aria-invalid]").first.wait_for()
    check(desktop, "account refused")

    sign_in(desktop.context, site, game.api.register()["username"])
    desktop.goto("/o")
    check(desktop, "no organizations")
    desktop.goto("/account")
    desktop.locator("#delete-account").click()
    desktop.locator("#delete-form [type=password]").fill("wrong")
    desktop.locator("#delete-form [type=submit]").click()
    desktop.locator("#delete-form .form-error:not([hidden])").wait_for()
    check(desktop, "deletion refused")


def test_check_in_that_cannot_be_sent(
    phone: Any, game: Game, complaints: Complaints, check: Callable[..., None]
) -> None:
    complaints.expect("net::ERR_")
    code = game.code(requires_location=True, latitude=52.37, longitude=4.89, description="The lighthouse")
    phone.goto(f"/s/{code['code']}")
    phone.evaluate(DENY)
    tap(phone)
    phone.get_by_role("dialog").wait_for()
    phone.get_by_text("Why do you need it?").click()
    check(phone, "location denied")
    phone.goto(f"/s/{game.code()['code']}")
    for path in ("**/session/guest", "**/scan", "**/scans/batch"):
        phone.route(path, lambda route: route.abort())
    tap(phone)
    phone.get_by_text("Saved on this phone").wait_for()
    check(phone, "saved")


def test_every_result(phone: Any, complaints: Complaints, check: Callable[..., None]) -> None:
    complaints.expect("net::ERR_")
    phone.goto("/play/history")
    check(phone, "history of a visitor")
    for path in ("**/session/guest", "**/scan/*", "**/scans/batch"):
        phone.route(path, lambda route: route.abort())
    player = phone.request.post("/session/guest", headers={"Sec-Fetch-Site": "same-origin"}).json()["player_id"]
    records = [
        *({"nonce": name, "state": "settled", "verdict": verdict} for name, verdict in VERDICTS.items()),
        *({"nonce": state, "state": state, "problem": "This code is too long."} for state in STATES),
        {"nonce": "foreign", "state": "waiting", "player_id": "another"},
    ]
    phone.evaluate(PUT, [player, records])
    for nonce in (*VERDICTS, *STATES, "foreign", "missing"):
        follow(phone, f"/play/result/{nonce}")
        phone.locator(".verdict h1").wait_for()
        if nonce == "destination":
            phone.get_by_role("button", name="Show details").click()
        if nonce == "sent":
            phone.get_by_role("heading", name="Still checking").wait_for()
        check(phone, f"result {nonce}")
    phone.goto("/play/history")
    phone.get_by_text("waiting for a connection").wait_for()
    check(phone, "history with scans that wait")


def test_views_that_fail_or_are_empty(phone: Any, complaints: Complaints, check: Callable[..., None]) -> None:
    complaints.expect("status of 500")
    complaints.expect("net::ERR_")
    phone.request.post("/session/guest", headers={"Sec-Fetch-Site": "same-origin"})
    phone.goto("/play/scan")
    lists = re.compile(r"//[^/]+/(player|api/v1/quests)\b")

    def answer(how: Callable[[Any], None]) -> None:
        phone.unroute(lists)
        phone.route(lists, how)

    views = ("/play", "/play/inventory", "/play/quests", "/play/history", "/play/redeem/coffee", "/play/puzzle/1")
    problem = {"title": "Internal Server Error", "status": 500, "request_id": "01a22274-0f9e-7a62-8909-83bc68420472"}
    empty: dict[str, Any] = {"items": [], "scans": [], "next_cursor": None}
    for state, opened, how in (
        ("failed", views, answering(status=500, json=problem)),
        ("without a connection", views[-2:], lambda route: route.abort()),
        ("empty", views, answering(json=empty)),
    ):
        answer(how)
        for view in opened:
            follow(phone, view)
            phone.locator(".view h1").wait_for()
            phone.locator(".loading").wait_for(state="detached")
            assert state != "failed" or phone.get_by_text("Couldn't load this.").count() == 1, view
            check(phone, f"{view} {state}")
    for state, changed in PUZZLES.items():
        answer(answering(json=empty | {"items": [PUZZLE | changed]}))
        phone.goto("/play/puzzle/1")
        phone.locator("h1", has_text="The warehouse door").wait_for()
        if state == "open":
            phone.get_by_role("button", name="Answer").click()
            phone.get_by_text("Type an answer.").wait_for()
        check(phone, f"puzzle {state}")
    phone.goto("/play/scan#type")
    phone.get_by_role("button", name="Type the code").or_(phone.get_by_label("Code")).first.wait_for()
    if phone.get_by_role("button", name="Type the code").count():
        phone.get_by_role("button", name="Type the code").click()
    phone.get_by_label("Code").fill("https://example.org/")
    phone.get_by_role("button", name="Find code").click()
    phone.get_by_text("This isn't a Waymark code.").wait_for()
    check(phone, "code refused")


def test_pages_of_the_service_worker(
    open_context: Callable[..., Any], game: Game, complaints: Complaints, check: Callable[..., None]
) -> None:
    complaints.expect("net::ERR_")
    context = open_context(phone=True, service_workers="allow")
    page = context.new_page()
    page.goto("/play")
    page.wait_for_function("() => navigator.serviceWorker.controller !== null")
    context.set_offline(True)
    for path in ("/play", "/play/scan", "/play/inventory", f"/s/{game.code()['code']}"):
        page.goto(path)
        page.locator("h1").wait_for()
        check(page, f"{path} offline")
    assert faults(page) == []
