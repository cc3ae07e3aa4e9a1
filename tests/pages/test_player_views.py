"""The views of the player app, with real scans that a worker judged. Scanning has tests of its own."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import PASSWORD
from tests.pages.browsers import Complaints
from tests.pages.conftest import Game
from tests.pages.page_checks import faults_of_open_page

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]

PUZZLE = {
    "puzzle_type": "decryption",
    "difficulty_level": 4,
    "data": {
        "text": "<b>The foreman</b> left a note.",
        "cipher": "PQFO TFTBNF",
        "sequence": [1, 1, 2],
        "grid": [["a", "b"], ["c", "d"]],
        "hint": "Each letter moved by one.",
        "floor": 2,
    },
    "solution": "open sesame",
    "max_attempts": 3,
}
VIEWS = {
    "/play": "Play",
    "/play/inventory": "Inventory",
    "/play/quests": "Quests",
    "/play/history": "History",
    "/play/redeem/spy_gadget": "Redeem spy gadget",
    "/play/puzzle/none": "Puzzle",
}
READ_META = """() => new Promise(done => {
    indexedDB.open('waymark').onsuccess = ({target}) => {
        target.result.transaction('meta').objectStore('meta').getAll().onsuccess = event =>
            done(JSON.stringify(event.target.result));
    };
})"""
SMALL_TARGETS = """[...document.querySelectorAll('a, button, input, [tabindex="0"]')]
    .filter(target => !target.matches('.skip-link, p a, .choice input'))
    .map(target => [target.outerHTML.slice(0, 80), target.getBoundingClientRect().height])
    .filter(([, height]) => height > 0 && height < 48)"""
"""Targets that a thumb can miss. Links in a sentence are an exception of WCAG 2.2, success criterion 2.5.8."""
PUT_SENT = """async player => {
    const {put} = await import(document.body.dataset.static + 'js/player/outbox.js');
    await put({nonce: 'sent', player_id: player, qr_code: 'spy123', latitude: null, longitude: null, accuracy: null,
               scanned_at: new Date().toISOString(), state: 'sent', tries: 0, scan_id: 'sent', verdict: null});
}"""
SAME = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Player:
    """A guest on a phone. Another tab of this phone calls the API."""

    game: Game
    page: Any
    id: str

    def ask(self, method: str, path: str, json: Any = None, **headers: str) -> Any:
        """Send a request with the cookie of the phone. Return the decoded body."""
        response = self.page.request.fetch(path, method=method, data=json, headers=SAME | headers)
        assert response.ok, response.text()
        return response.json()

    def scan(self, code: Any) -> Any:
        """Scan a code, and return the verdict of the worker."""
        body = {"player_id": self.id, "qr_code": code["code"]}
        settled = self.ask("POST", "/scan", body, Prefer="wait=10")
        assert settled["status"] != "pending"
        return settled

    def held(self, item: str) -> list[int]:
        """Return the balances of an item."""
        items = self.ask("GET", f"/player/{self.id}/inventory")["items"]
        return [held["quantity"] for held in items if held["item"] == item]

    def open(self, path: str) -> Any:
        """Open a view, and wait until its data is there."""
        self.page.goto(path)
        return loaded(self.page)


def loaded(page: Any) -> Any:
    page.locator(".view h1").wait_for()
    page.locator(".loading").wait_for(state="detached")
    return page


def become_guest(page: Any) -> str:
    """Start the session of a new guest in the browser of this page. Return the player's id."""
    response = page.request.post("/session/guest", headers=SAME | {"Idempotency-Key": str(uuid4())})
    assert response.ok
    return str(response.json()["player_id"])


@pytest.fixture
def player(game: Game, phone: Any) -> Player:
    return Player(game, phone, become_guest(phone))


def heading(page: Any) -> Any:
    return page.get_by_role("heading", level=1)


def quest_of(game: Game, *codes: Any, **fields: Any) -> str:
    """Create an active quest that scans of these codes complete."""
    name = f"quest-{uuid4().hex[:8]}"
    body = {
        "name": name,
        "description": "Scan every code.",
        "codes": [code["code"] for code in codes],
        "streak": len(codes),
        "reward": {"item": "badge", "quantity": 2},
        "active": True,
    } | fields
    game.api.ask("POST", f"/api/organizations/{game.org_id}/quests", game.owner["access_token"], body)
    return name


def test_visitor_sees_how_to_start(phone: Any) -> None:
    for path, title in VIEWS.items():
        phone.goto(path)
        heading(phone).get_by_text(title).wait_for()
        phone.get_by_text(re.compile("No account needed")).wait_for()
        assert phone.get_by_role("link", name="Scan a code").get_attribute("href") == "/play/scan"


def test_new_player_sees_empty_views(player: Player) -> None:
    page = player.open("/play/inventory")
    page.get_by_text("Nothing here yet.").wait_for()
    page.get_by_text("Find your first code.").wait_for()
    player.open("/play/history").get_by_text("No scans yet.").wait_for()
    player.open("/play/redeem/spy_gadget").get_by_text("You have none of these.").wait_for()
    player.open("/play/puzzle/none").get_by_text("This puzzle is not open to you.").wait_for()


def test_views_follow_the_path_without_a_load(player: Player) -> None:
    page = player.open("/play")
    page.evaluate("globalThis.kept = true")
    assert page.locator(".tab").all_inner_texts() == ["Home", "Scan", "Inventory", "Quests"]
    for link, name, path, tab in [
        ("Inventory", "Inventory", "/play/inventory", "Inventory"),
        ("Home", "Play", "/play", "Home"),
        ("View history", "History", "/play/history", "Home"),
        ("Quests", "Quests", "/play/quests", "Quests"),
    ]:
        page.get_by_role("link", name=link, exact=True).click()
        heading(page).get_by_text(name).wait_for()
        assert page.evaluate("location.pathname") == path
        assert page.evaluate("document.activeElement.tagName") == "H1"
        assert page.title() == f"{name} · Waymark"
        assert page.locator(".tab[aria-current=page]").inner_text() == tab
    page.go_back()
    heading(page).get_by_text("History").wait_for()
    assert page.evaluate("kept")
    # A reload is one, so that a new release is loaded.
    page.reload()
    heading(page).get_by_text("History").wait_for()
    assert page.evaluate("globalThis.kept") is None


def test_inventory_has_stamps_of_each_issuer_in_its_color(player: Player) -> None:
    game = player.game
    token = game.owner["access_token"]
    game.api.ask("PATCH", f"/api/organizations/{game.org_id}", token, {"color": "#1C5A86"})
    player.scan(game.code())
    player.scan(game.code(reward={"item": "coffee", "quantity": 2}))
    other = game.api.organization(token, name="City Museum")
    player.scan(game.api.code(token, other["id"], reward={"item": "coffee", "quantity": 1}))

    page = player.open("/play/inventory")

    groups = page.locator(".issuer")
    harbor = groups.filter(has_text=game.organization["name"])
    assert groups.count() == 2
    assert harbor.locator(".stamp-name").all_inner_texts() == ["coffee", "spy gadget"]
    assert harbor.locator(".stamp-quantity").all_inner_texts() == ["\u00d7 2", "\u00d7 1"]
    assert harbor.locator(".org-initial").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(28, 90, 134)"
    # The name alone decides the mark.
    marks = page.locator(".stamp", has_text="coffee").locator(".stamp-mark")
    assert len(set(marks.evaluate_all("marks => marks.map(mark => mark.outerHTML)"))) == 1
    assert page.locator(".stamp-new").count() == 0
    player.scan(game.code(reward={"item": "map", "quantity": 1}))
    player.open("/play/inventory").locator(".stamp-new", has_text="map").wait_for()
    player.scan(game.code(reward={"item": "50/50_joker", "quantity": 1}))
    player.open("/play/inventory")
    harbor.get_by_role("link", name="50/50 joker").click()
    page.get_by_text("You have 1.").wait_for()
    page.reload()
    heading(page).get_by_text("Redeem 50/50 joker").wait_for()
    page.get_by_text("You have 1.").wait_for()


def test_reward_is_redeemed_at_the_counter(player: Player, complaints: Complaints) -> None:
    game = player.game
    player.scan(game.code(reward={"item": "coffee", "quantity": 3}))
    page = player.open(f"/play/redeem/coffee?org={game.org_id}")
    page.get_by_text("You have 3.").wait_for()
    page.get_by_role("button", name="One more").click()
    page.get_by_role("button", name="Show the code").click()
    page.get_by_text("Show this to the staff").wait_for()
    assert page.locator(".qr img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert page.locator(".qr").evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(255, 255, 255)"
    first = page.locator(".token-text code").inner_text()
    page.get_by_role("button", name="Show a new code").click()
    page.wait_for_function("first => document.querySelector('.token-text code').innerText !== first", arg=first)

    path = f"/api/organizations/{game.org_id}/redemptions"
    token = page.locator(".token-text code").inner_text()
    game.api.ask("POST", path, game.owner["access_token"], {"token": token})

    page.get_by_role("heading", name="Redeemed").wait_for()
    page.get_by_text("1 left").wait_for()
    # Only one is left, and the stock is empty: the page says so.
    item = f"/api/organizations/{game.org_id}/items/coffee"
    game.api.ask("PUT", item, game.owner["access_token"], {"stock": 2})
    complaints.expect("/redemptions/token")
    page = player.open(f"/play/redeem/coffee?org={game.org_id}")
    assert page.get_by_role("group", name="Quantity").count() == 0
    page.get_by_role("button", name="Show the code").click()
    page.get_by_role("alert").wait_for()
    assert page.locator(".qr").count() == 0


def test_only_the_server_says_that_a_token_was_redeemed(player: Player) -> None:
    """Another token takes as much of the same item: the balance falls, and this token was not redeemed."""
    game = player.game
    player.scan(game.code(reward={"item": "coffee", "quantity": 2}))
    page = player.open("/play/redeem/coffee")
    page.get_by_role("button", name="Show the code").click()
    token = page.locator(".token-text code").inner_text()
    counter = f"/api/organizations/{game.org_id}/redemptions"
    other = player.ask("POST", "/redemptions/token", {"item": "coffee"})["token"]
    game.api.ask("POST", counter, game.owner["access_token"], {"token": other})
    assert player.held("coffee") == [1]
    for _ in range(2):
        with page.expect_response("**/redemptions/token/status") as asked:
            pass
        assert asked.value.json() == {"status": "valid", "balance": 1}
    assert page.get_by_role("heading", name="Redeemed").count() == 0
    game.api.ask("POST", counter, game.owner["access_token"], {"token": token})
    page.get_by_role("heading", name="Redeemed").wait_for()
    page.get_by_text("0 left").wait_for()


def test_pages_that_wait_for_a_person_hold_no_connection(player: Player) -> None:
    """No WebSocket, and no request now or within a minute. The control: a pending result has a request open."""
    game, page = player.game, player.page
    code = game.code()
    puzzle = player.scan(game.code(scan_type="encounter", encounter=PUZZLE))
    player.scan(code)
    quest_of(game, code, game.code())
    sockets: list[Any] = []
    sent: list[str] = []
    is_open: set[Any] = set()

    def start(request: Any) -> None:
        sent.append(request.url)
        is_open.add(request)

    def end(request: Any) -> None:
        is_open.discard(request)

    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.on("request", start)
    page.on("requestfinished", end)
    page.on("requestfailed", end)
    page.clock.install()
    puzzle_path = f"/play/puzzle/{puzzle['scan_id']}"
    for path in (f"/s/{code['code']}", "/play/inventory", "/play/quests", "/play/history", "/play", puzzle_path):
        page.goto(path)
        page.locator("h1").wait_for()
        page.locator(".loading").wait_for(state="detached")
        page.wait_for_load_state("networkidle")
        sent.clear()
        page.clock.run_for(60_000)
        assert (sent, is_open, sockets) == ([], set(), []), path

    page.route("**/scan/*", lambda route: None)
    page.evaluate(PUT_SENT, player.id)
    with page.expect_request("**/scan/*"):
        page.goto("/play/result/sent")
    assert {request.url for request in is_open if "/static/" not in request.url} == {f"{game.api.base_url}/scan/sent"}
    assert sockets == []


def test_completed_quest_is_claimed_once(player: Player, complaints: Complaints) -> None:
    codes = [player.game.code(), player.game.code(), player.game.code()]
    name = quest_of(player.game, *codes)
    daily = quest_of(player.game, codes[0], streak=5, daily=True)
    for code in codes[:2]:
        player.scan(code)
    page = player.open("/play/quests")
    card = page.locator(".quest", has_text=name.capitalize().replace("-", " "))
    assert card.get_by_text("2 of 3").count() == 1
    assert card.get_by_role("button").count() == 0
    days = page.locator(".quest", has_text=daily.capitalize().replace("-", " ")).get_by_role("img")
    today = page.evaluate(
        "new Intl.DateTimeFormat('en-US', {month: 'short', day: 'numeric', timeZone: 'UTC'}).format()"
    )
    assert days.get_attribute("aria-label") == f"1 of 5 days, {today}"
    assert days.locator(".day").all_inner_texts() == [today.split()[1], "", "", "", ""]
    player.scan(codes[2])
    # The reward waits on the home page too.
    player.open("/play").get_by_role("button", name="Claim").wait_for()
    player.open("/play/quests")
    # Another tab claims first.
    player.ask("POST", "/api/v1/track/claim_reward", {"quest_name": name})
    complaints.expect("/track/claim_reward")

    card.get_by_role("button", name="Claim").click()

    page.get_by_text("Already claimed").wait_for()
    card.get_by_text("Completed").wait_for()
    assert player.held("badge") == [2]


def test_claim_repeats_its_key_after_a_lost_response(player: Player, complaints: Complaints) -> None:
    code = player.game.code(per_player_limit=2)
    quest_of(player.game, code, duplication=2)
    player.scan(code)
    player.scan(code)
    page = player.open("/play/quests")
    claim = page.get_by_role("button", name="Claim")

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/claim_reward", lose, times=1)
    complaints.expect("/claim_reward")
    claim.click()
    page.get_by_text("There is no connection. Try again.").wait_for()
    with page.expect_response("**/claim_reward") as repeated:
        claim.click()
    assert repeated.value.ok
    page.get_by_text("+2 badge").wait_for()
    assert player.held("badge") == [2]


def test_first_open_of_a_day_is_a_sign_in_and_of_an_account_a_sign_up(player: Player) -> None:
    sent: list[Any] = []
    player.page.on("request", lambda request: sent.append(request) if "/track/" in request.url else None)
    player.open("/play")
    player.open("/play/quests").locator(".quest", has_text="Sign in three times").get_by_text("1 of 3").wait_for()
    player.open("/play")
    today = player.page.evaluate(
        "new Intl.DateTimeFormat('en-CA', {year: 'numeric', month: '2-digit', day: '2-digit'}).format()"
    )
    player.ask("POST", "/session/upgrade", {"username": f"p{uuid4().hex[:12]}", "password": PASSWORD})
    page = player.open("/play/quests")
    page.locator(".quest", has_text="Sign up").get_by_role("button", name="Claim").wait_for()
    player.open("/play")
    tracked = [(request.url.rsplit("/", 1)[1], request.headers["idempotency-key"]) for request in sent]
    assert tracked == [("signin", today), ("signup", "sign-up")]


def test_home_screen_is_offered_after_the_second_success(player: Player) -> None:
    code = player.game.code(per_player_limit=2, cooldown_seconds=0)
    player.page.add_init_script(
        """addEventListener('load', () => setTimeout(() => dispatchEvent(Object.assign(
            new Event('beforeinstallprompt', {cancelable: true}), {prompt: () => (globalThis.asked = true)}))))"""
    )
    offer = player.page.get_by_role("heading", name="Add Waymark to your home screen")
    player.scan(code)
    player.open("/play").get_by_role("heading", name="Latest result").wait_for()
    assert offer.count() == 0
    player.scan(code)
    page = player.open("/play")
    page.get_by_role("button", name="Add").click()
    offer.wait_for(state="detached")
    assert page.evaluate("asked")
    player.open("/play").get_by_role("button", name="Not now").click()
    player.open("/play").get_by_role("heading", name="Latest result").wait_for()
    assert offer.count() == 0


def test_puzzle_is_answered_wrong_and_right(player: Player, complaints: Complaints) -> None:
    code = player.game.code(scan_type="encounter", encounter=PUZZLE, description="The warehouse door")
    scan_id = player.scan(code)["scan_id"]
    page = player.open("/play")
    page.get_by_role("link", name="The warehouse door Open until").click()
    loaded(page)
    assert page.evaluate("location.pathname") == f"/play/puzzle/{scan_id}"
    heading(page).get_by_text("The warehouse door").wait_for()
    for text in (
        "<b>The foreman</b> left a note.",
        "PQFO TFTBNF",
        "Each letter moved by one.",
        "floor",
        "3 attempts left",
    ):
        page.get_by_text(text).wait_for()
    assert page.locator(".sequence li").all_inner_texts() == ["1", "1", "2"]
    assert page.locator(".grid-clue tr").all_inner_texts() == ["a\tb", "c\td"]
    answer = page.get_by_label("Your answer")
    assert answer.get_attribute("autocapitalize") == "none"
    for left in ("2 attempts left", "1 attempt left"):
        answer.fill("close")
        page.get_by_role("button", name="Answer").click()
        page.get_by_text(left).wait_for()
        page.get_by_text("That's not it. Try again.").wait_for()
    complaints.expect("net::ERR_INTERNET_DISCONNECTED")
    player.page.context.set_offline(True)
    answer.fill("open sesame")
    page.get_by_role("button", name="Answer").click()
    page.get_by_text("You need to be online to answer.").wait_for()
    player.page.context.set_offline(False)
    page.get_by_role("button", name="Answer").click()
    page.get_by_role("heading", name="+1 spy gadget").wait_for()
    player.open(f"/play/puzzle/{scan_id}").get_by_role("heading", name="+1 spy gadget").wait_for()


def test_puzzle_without_attempts_or_time_is_over(player: Player, complaints: Complaints) -> None:
    chosen = {**PUZZLE, "data": {"choices": ["Anna", "Bertha"]}, "max_attempts": 1}
    code = player.game.code(scan_type="encounter", encounter=chosen)
    scan = player.scan(code)
    page = player.open(f"/play/puzzle/{scan['scan_id']}")
    page.get_by_text("1 attempt left").wait_for()
    # Another tab uses the last attempt.
    path = f"/encounters/{scan['encounter']['id']}/solve"
    player.ask("POST", path, {"answer": "Bertha"})
    complaints.expect("/solve")
    page.get_by_label("Anna").check()
    page.get_by_role("button", name="Answer").click()
    page.get_by_role("heading", name="No attempts left").wait_for()
    # An answer that arrives too late.
    second = player.scan(player.game.code(scan_type="encounter", encounter=PUZZLE))
    page = player.open(f"/play/puzzle/{second['scan_id']}")
    page.route("**/solve", lambda route: route.fulfill(status=410, json={"detail": "Closed."}))
    page.get_by_label("Your answer").fill("open sesame")
    page.get_by_role("button", name="Answer").click()
    page.get_by_role("heading", name="This puzzle is closed").wait_for()


def test_history_pages_by_day_and_opens_results(player: Player) -> None:
    code = player.game.code(per_player_limit=None, description="Dam Square", cooldown_seconds=0)
    verdicts = [player.scan(code) for _ in range(31)]
    assert {verdict["status"] for verdict in verdicts} == {"success"}
    player.scan(player.game.code(requires_location=True, latitude=52.37, longitude=4.89, description="Far away"))

    page = player.open("/play/history")

    lines = page.locator(".list-item")
    assert lines.count() == 30
    assert lines.first.inner_text().split("\n")[:2] == ["Far away", "Location needed"]
    assert lines.nth(1).inner_text().split("\n")[:2] == ["Dam Square", "+1 spy gadget"]
    page.get_by_role("button", name="Load more").click()
    page.wait_for_function("() => document.querySelectorAll('.list-item').length === 32")
    assert page.get_by_role("button", name="Load more").count() == 0
    lines.first.click()
    heading(page).get_by_text("Location needed").wait_for()


def test_queued_scans_come_first_and_are_sent(player: Player) -> None:
    code = player.game.code(description="Dam Square")
    player.scan(player.game.code(description="Mill"))
    page = player.open("/play/history")
    record = {"nonce": "n1", "player_id": player.id, "qr_code": code["code"], "state": "waiting"}
    page.context.route("**/scans/batch", lambda route: route.abort())
    page.evaluate(
        """async (record) => {
            const folder = document.body.dataset.static;
            const {put} = await import(`${folder}js/player/outbox.js`);
            await put({latitude: null, longitude: null, accuracy: null, tries: 0, scan_id: null, verdict: null,
                       scanned_at: new Date().toISOString(), ...record});
        }""",
        record,
    )
    page.get_by_text("1 scan waiting for a connection").wait_for()
    assert page.locator(".list-main").first.inner_text().split("\n")[1] == "Saved on this phone"
    page.context.unroute("**/scans/batch")
    page.get_by_role("button", name="Send now").click()
    page.get_by_text("1 scan waiting for a connection").wait_for(state="detached")
    page.locator(".list-item", has_text="Dam Square").wait_for()


def test_snapshots_are_shown_offline_to_their_player_only(player: Player, complaints: Complaints) -> None:
    player.scan(player.game.code())
    complaints.expect("net::ERR_INTERNET_DISCONNECTED")
    page = player.open("/play/redeem/spy_gadget")
    views = [
        ("Home", "Dam Square"),
        ("View history", "Dam Square"),
        ("Quests", "Sign in three times"),
        ("Inventory", "spy gadget"),
    ]
    for link, text in views:
        page.get_by_role("link", name=link, exact=True).click()
        page.get_by_text(text).first.wait_for()
    page.context.set_offline(True)
    for link, text in views:
        page.get_by_role("link", name=link, exact=True).click()
        page.get_by_text(re.compile("^You are offline. This is how it was on")).wait_for()
        page.get_by_text(text).first.wait_for()
    # What needs a connection says so.
    page.get_by_role("link", name="spy gadget").click()
    page.get_by_text("Couldn't load this.").wait_for()
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("button", name="Show the code").wait_for()
    # Another player signs in on this phone: nothing of the first one is left.
    become_guest(page)
    player.open("/play/history").get_by_text("No scans yet.").wait_for()
    kept = page.evaluate(READ_META)
    assert "Dam Square" not in kept
    assert "spy_gadget" not in kept
    page.goto("/account")
    page.get_by_role("button", name="Sign out").first.click()
    page.wait_for_url("**/")
    assert page.evaluate(READ_META).count("player_id") == 0


def test_targets_are_large_and_a_token_is_accessible(player: Player) -> None:
    game = player.game
    game.api.ask("PATCH", f"/api/organizations/{game.org_id}", game.owner["access_token"], {"color": "#1C5A86"})
    code = game.code(reward={"item": "brass_compass_of_the_old_captain", "quantity": 3})
    quest_of(game, code)
    puzzle = player.scan(game.code(scan_type="encounter", encounter=PUZZLE, description="The warehouse door"))
    player.scan(code)
    page = player.page
    page.set_viewport_size({"width": 320, "height": 640})
    redeem = f"/play/redeem/brass_compass_of_the_old_captain?org={game.org_id}"
    puzzle_path = f"/play/puzzle/{puzzle['scan_id']}"
    for path in ("/play", "/play/inventory", "/play/quests", "/play/history", puzzle_path, redeem):
        page.goto(path)
        assert loaded(page).evaluate(SMALL_TARGETS) == [], path
    page.get_by_role("button", name="Show the code").click()
    page.locator(".qr").wait_for()
    assert page.evaluate(SMALL_TARGETS) == []
    assert faults_of_open_page(page) == []


def test_stamps_and_contours_depend_on_the_text_alone(phone: Any) -> None:
    phone.goto("/play")
    made = phone.evaluate(
        """async () => {
            const folder = document.body.dataset.static;
            const {markOf} = await import(`${folder}js/player/stamp.js`);
            const {contourPaths} = await import(`${folder}js/player/contour.js`);
            const names = Array.from({length: 600}, (_, index) => `item_${index}`);
            return {
                marks: names.map(name => Object.values(markOf(name))),
                again: names.map(name => Object.values(markOf(name))),
                lines: [contourPaths('a'), contourPaths('a'), contourPaths('b')],
            };
        }"""
    )
    assert made["marks"] == made["again"]
    assert [len({mark[place] for mark in made["marks"]}) for place in range(3)] == [6, 4, 12]
    assert made["lines"][0] == made["lines"][1] != made["lines"][2]
