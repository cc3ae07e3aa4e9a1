"""Exactly once: whatever happens to a scan between the tap and the verdict, it is one scan of the player who tapped."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from script.stack import RunningServer
from tests.pages.browsers import DAM_SQUARE, Complaints
from tests.pages.check_ins import check_in, outbox, shows, sign_in, tap
from tests.pages.conftest import Game
from tests.support.polling import eventually
from tests.system.processes import halted

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]

API_PATHS = ("**/scan", "**/scan/*", "**/scans/batch", "**/session", "**/session/guest")
SCAN = """async codes => {
    const {checkIn} = await import(document.body.dataset.static + 'js/player/flow.js');
    for (const qrCode of codes) await checkIn({qrCode, located: false});
}"""
SETTLED_OR_RETRIED = """async () => {
    const outbox = await import(document.body.dataset.static + 'js/player/outbox.js');
    return (await outbox.all()).every(scan => scan.state !== 'sending' || scan.tries > 0);
}"""
MADE = """async () => {
    const outbox = await import(document.body.dataset.static + 'js/player/outbox.js');
    return (await outbox.all()).map(scan => scan.scanned_at);
}"""
FLUSH = "async () => (await import(document.body.dataset.static + 'js/player/outbox.js')).flush()"


@pytest.fixture
def workers(site: RunningServer) -> Callable[[], Any]:
    """Return a context manager in which no worker judges a scan."""
    return lambda: halted([*site.pids("worker"), *_children(site.pids("worker"))])


def _children(pids: list[int]) -> list[int]:
    return [child.pid for pid in pids for child in psutil.Process(pid).children(recursive=True)]


@contextmanager
def no_network(page: Any, complaints: Complaints) -> Iterator[None]:
    """Abort the requests of the API, as without a connection. Pages load from the server."""
    complaints.expect("net::ERR_INTERNET_DISCONNECTED")
    for path in API_PATHS:
        page.route(path, lambda route: route.abort("internetdisconnected"))
    yield
    for path in API_PATHS:
        page.unroute(path)


def inventory(game: Game, site: RunningServer, context: Any) -> Any:
    """Return how many items the player of a browser has."""
    player = context.request.get("/session").json()["player_id"]
    items = context.request.get(f"/player/{player}/inventory").json()["items"]
    return sum(item["quantity"] for item in items)


def test_double_tap_and_reload_in_flight_are_one_scan(
    phone: Any, game: Game, site: RunningServer, workers: Callable[[], Any]
) -> None:
    code = game.code(per_player_limit=None)
    phone.goto(f"/s/{code['code']}")
    with workers():
        phone.get_by_role("button", name="Check in").dblclick()
        eventually(lambda: game.scans() != [])
        phone.reload()
        shows(phone, "Checking your scan…")
    shows(phone, "+1 spy gadget")
    assert [scan["status"] for scan in game.scans()] == ["success"]
    assert inventory(game, site, phone.context) == 1


def test_web_killed_between_commit_and_response_is_one_scan(
    phone: Any, game: Game, site: RunningServer, workers: Callable[[], Any], complaints: Complaints
) -> None:
    complaints.expect("net::ERR_")
    code = game.code(per_player_limit=None)
    phone.goto(f"/s/{code['code']}")
    with workers():
        tap(phone)
        eventually(lambda: game.scans() != [])
        for pid in _children(site.pids("web")):
            psutil.Process(pid).kill()
        phone.wait_for_function(SETTLED_OR_RETRIED)
    shows(phone, "+1 spy gadget")
    assert [scan["status"] for scan in game.scans()] == ["success"]
    assert inventory(game, site, phone.context) == 1


def test_saved_scan_is_resent_once_the_server_is_back(phone: Any, game: Game, complaints: Complaints) -> None:
    """The browser sends no event then: its own network was there all the time."""
    phone.goto(f"/s/{game.code()['code']}")
    with no_network(phone, complaints):
        tap(phone)
        phone.get_by_text("Saved on this phone").wait_for()
    shows(phone, "+1 spy gadget")
    assert [scan["status"] for scan in game.scans()] == ["success"]


def test_offline_scans_survive_a_reload_and_are_one_batch_in_order(
    phone: Any, game: Game, complaints: Complaints
) -> None:
    codes = [game.code(description=name)["code"] for name in ("First", "Second", "Third")]
    batches: list[Any] = []
    phone.on("request", lambda request: batches.append(request) if request.url.endswith("/scans/batch") else None)
    phone.goto(f"/s/{codes[0]}")
    with no_network(phone, complaints):
        tap(phone)
        phone.get_by_text("Saved on this phone").wait_for()
        phone.evaluate(SCAN, codes[1:])
        phone.reload()
        shows(phone, "Saved on this phone")
        assert phone.get_by_text(re.compile("Open Waymark before .* so it counts.")).is_visible()
        assert [state for state, *_ in outbox(phone)] == ["waiting"] * 3
        batches.clear()
    phone.evaluate(FLUSH)
    # The page may have begun to send them before, when the network returned.
    eventually(lambda: [state for state, *_ in outbox(phone)] == ["settled"] * 3)
    assert outbox(phone) == [["settled", "success", game.scans()[0]["player_id"]]] * 3

    (batch,) = batches
    assert [scan["qr_code"] for scan in batch.post_data_json["scans"]] == codes
    scans = sorted(game.scans(), key=lambda scan: str(scan["scanned_at"]))
    assert [scan["qr_code"] for scan in scans] == codes
    assert len({scan["player_id"] for scan in scans}) == 1
    times = [scan["scanned_at"] for scan in batch.post_data_json["scans"]]
    assert times == sorted(times)


def test_scans_of_the_service_worker_pages_wait_for_their_player(
    open_context: Callable[..., Any], game: Game, site: RunningServer, complaints: Complaints
) -> None:
    """Three scans without a network and a reload between them. Another player signs in before the network returns."""
    ada, eve = game.api.register(), game.api.register()
    codes = [game.code(description=name)["code"] for name in ("First", "Second", "Third")]
    context = open_context(phone=True, service_workers="allow", geolocation=DAM_SQUARE, permissions=["geolocation"])
    # The browser could send them from the service worker, whose requests are not seen here.
    context.add_init_script("delete globalThis.ServiceWorkerRegistration?.prototype.sync")
    sign_in(context, site, ada["username"])
    page, batches = context.new_page(), []
    page.on("request", lambda request: batches.append(request) if request.url.endswith("/scans/batch") else None)
    page.goto("/play")
    page.wait_for_function("() => navigator.serviceWorker.controller !== null")

    complaints.expect("net::ERR_")
    context.set_offline(True)
    for code in codes:
        page.goto(f"/s/{code}")
        page.locator("code", has_text=code).wait_for()
        tap(page)
        shows(page, "Saved on this phone")
        page.reload()
        shows(page, "Saved on this phone")
    made = page.evaluate(MADE)
    batches.clear()
    sign_in(context, site, eve["username"])
    context.set_offline(False)
    check_in(page, game.code(description="Fourth"), "+1 spy gadget")
    assert [state for state, *_ in outbox(page)] == ["waiting"] * 3 + ["settled"]
    assert [scan["player_id"] for scan in game.scans()] == [eve["player_id"]]
    assert batches == []

    sign_in(context, site, ada["username"])
    page.goto("/play")
    eventually(lambda: [state for state, *_ in outbox(page)] == ["settled"] * 4)
    (batch,) = batches
    sent = [(scan["qr_code"].rsplit("/", 1)[-1], scan["scanned_at"]) for scan in batch.post_data_json["scans"]]
    assert sent == list(zip(codes, made, strict=True))
    assert made == sorted(set(made))
    stored = sorted(game.scans(), key=lambda scan: str(scan["scanned_at"]))
    owners = [(scan["player_id"], scan["status"]) for scan in stored]
    assert owners == [(ada["player_id"], "success")] * 3 + [(eve["player_id"], "success")]


def test_guest_that_started_offline_gets_the_scan_once_online(phone: Any, game: Game, complaints: Complaints) -> None:
    complaints.expect("net::ERR_INTERNET_DISCONNECTED")
    phone.goto(f"/s/{game.code()['code']}")
    phone.wait_for_load_state("networkidle")
    phone.context.set_offline(True)
    tap(phone)
    phone.get_by_text("Saved on this phone").wait_for()
    assert [player for *_, player in outbox(phone)] == [None]
    phone.context.set_offline(False)
    shows(phone, "+1 spy gadget")
    player = phone.context.request.get("/session").json()
    assert (player["guest"], [scan["player_id"] for scan in game.scans()]) == (True, [player["player_id"]])


def test_scan_belongs_to_the_player_who_tapped(
    phone: Any, game: Game, site: RunningServer, complaints: Complaints
) -> None:
    """Another player signs in before the connection returns. Later the first one signs in again."""
    ada, eve = game.api.register(), game.api.register()
    sign_in(phone.context, site, ada["username"])
    code = game.code()
    phone.goto(f"/s/{code['code']}")
    assert phone.get_by_text(f"Checking in as {ada['username']}").is_visible()
    with no_network(phone, complaints):
        tap(phone)
        phone.get_by_text("Saved on this phone").wait_for()
        phone.goto("/about")
        sign_in(phone.context, site, eve["username"])
    check_in(phone, code, "+1 spy gadget")
    eventually(lambda: outbox(phone)[1][:2] == ["settled", "success"])
    assert outbox(phone)[0] == ["waiting", None, ada["player_id"]]
    assert [scan["player_id"] for scan in game.scans()] == [eve["player_id"]]

    phone.goto("/about")
    sign_in(phone.context, site, ada["username"])
    phone.goto(f"/s/{code['code']}")
    shows(phone, "+1 spy gadget")
    assert [state for state, *_ in outbox(phone)] == ["settled", "settled"]
    assert sorted(scan["player_id"] for scan in game.scans()) == sorted([ada["player_id"], eve["player_id"]])


def test_scan_of_an_ended_session_waits_for_its_player(
    phone: Any, game: Game, site: RunningServer, complaints: Complaints
) -> None:
    ada = game.api.register()
    sign_in(phone.context, site, ada["username"])
    code = game.code()
    phone.goto(f"/s/{code['code']}")
    session = next(
        each for each in game.api.ask("GET", "/users/me/sessions", ada["access_token"])["items"] if not each["current"]
    )
    game.api.ask("DELETE", f"/users/me/sessions/{session['id']}", ada["access_token"])
    complaints.expect("401")
    tap(phone)
    shows(phone, "Sign in to send your scan")
    assert [state for state, *_ in outbox(phone)] == ["needs_sign_in"]
    assert game.scans() == []

    sign_in(phone.context, site, ada["username"])
    phone.reload()
    shows(phone, "+1 spy gadget")
    assert [scan["player_id"] for scan in game.scans()] == [ada["player_id"]]


def test_guests_past_the_rate_limit_wait_in_line(phone: Any, game: Game, complaints: Complaints) -> None:
    """Guests past the rate limit are retried with the same key, and the person is asked for nothing."""
    complaints.expect("429")
    keys: list[str] = []

    def limit(route: Any) -> None:
        keys.append(route.request.headers["idempotency-key"])
        if len(keys) > 2:
            route.continue_()
        else:
            problem = {"title": "Too Many Requests", "status": 429}
            route.fulfill(status=429, headers={"Retry-After": "1"}, json=problem)

    phone.route("**/session/guest", limit)
    phone.goto(f"/s/{game.code()['code']}")
    tap(phone)
    phone.get_by_text(
        "Lots of people are joining right now. You're in line; we'll check you in automatically."
    ).wait_for()
    shows(phone, "+1 spy gadget")
    assert (len(keys), len(set(keys))) == (3, 1)
