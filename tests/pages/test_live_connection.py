"""The live connection of staff pages: one socket per browser, no gap and no duplicate, and polling without sockets."""

import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import urllib3

from script.stack import RunningServer
from tests.pages.browsers import Api, Complaints
from tests.pages.check_ins import sign_in
from tests.pages.conftest import Game
from tests.support.polling import eventually
from tests.system.processes import restarted, send

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]

CONNECT = """async ([orgId, since]) => {
    const {connectLive} = await import(document.body.dataset.static + 'js/live.js');
    window.received = [];
    window.states = [];
    window.connection = connectLive({
        orgId, since, onEvent: event => received.push(event), onState: state => states.push(state),
    });
}"""
WITHOUT_LOCKS = "() => Object.defineProperty(navigator, 'locks', {value: undefined})"
VERDICTS = "received.filter(event => event.event === 'scan_result').map(event => event.scan_id)"
"""Ids of the scans of the received verdicts, in order."""
HAS_VERDICT = "id => received.some(event => event.event === 'scan_result' && event.scan_id === id)"
IS_RESET = "() => received.some(event => event.event === 'reset')"
RESETS = "received.filter(event => event.event === 'reset').length"


@pytest.fixture
def open_tab(open_context: Callable[..., Any], site: RunningServer, game: Game) -> Callable[..., Any]:
    """Return a function that opens a tab of one browser, which follows the events of the game."""
    context = open_context()
    sign_in(context, site, game.owner["username"])

    def make(since: str | None = None, before: str = "() => {}") -> Any:
        page = context.new_page()
        page.goto("/account")
        page.evaluate(before)
        sockets: list[Any] = []
        page.sockets = sockets
        page.on("websocket", lambda socket, sockets=sockets: sockets.append(socket))
        page.evaluate(CONNECT, [game.org_id, since])
        page.wait_for_function("() => states.at(-1) === 'live'")
        return page

    return make


@pytest.fixture
def scan(game: Game) -> Callable[[int], list[str]]:
    """Return a function that submits scans, and returns the ids of their verdicts."""
    code = game.code(per_player_limit=None)

    def submit(count: int) -> list[str]:
        token, player = game.owner["access_token"], game.owner["player_id"]
        body = {"player_id": player, "qr_code": code["code"]}
        return [game.api.ask("POST", "/scan", token, body, Prefer="wait=10")["scan_id"] for _ in range(count)]

    return submit


def hears(page: Any, scans: list[str]) -> bool:
    """Return whether a tab received exactly these verdicts, in their order. Wait for the last one."""
    page.wait_for_function(HAS_VERDICT, arg=scans[-1])
    return bool(page.evaluate(VERDICTS) == scans)


def test_two_tabs_share_one_socket_and_the_second_takes_over(
    open_tab: Callable[..., Any], scan: Callable[[int], list[str]]
) -> None:
    first, second = open_tab(), open_tab()

    scans = scan(3)

    assert hears(first, scans)
    assert hears(second, scans)
    assert (len(first.sockets), len(second.sockets)) == (1, 0)
    first.close()
    scans += scan(2)
    assert hears(second, scans)
    assert len(second.sockets) == 1


def test_tabs_without_locks_have_a_socket_each(open_tab: Callable[..., Any], scan: Callable[[int], list[str]]) -> None:
    """As on plain http: a page of an address in the local network has no locks."""
    tabs = [open_tab(before=WITHOUT_LOCKS), open_tab(before=WITHOUT_LOCKS)]

    scans = scan(2)

    assert all(hears(tab, scans) for tab in tabs)
    assert [len(tab.sockets) for tab in tabs] == [1, 1]


def test_later_tab_receives_what_the_first_one_kept(
    open_tab: Callable[..., Any], scan: Callable[[int], list[str]]
) -> None:
    first = open_tab()
    scans = scan(3)
    assert hears(first, scans)
    ids = first.evaluate("received.filter(event => event.event === 'scan_result').map(event => event.id)")

    second = open_tab(since=ids[0])
    third = open_tab(since="0")

    assert hears(second, scans[1:])
    third.wait_for_function(IS_RESET)
    assert third.evaluate(VERDICTS) == [], "the tab loads its data again"
    scans += scan(1)
    assert hears(third, scans[-1:])
    assert second.sockets == third.sockets == []


def test_killed_relay_and_web_leave_no_gap_and_no_duplicate(
    site: RunningServer, open_tab: Callable[..., Any], scan: Callable[[int], list[str]], complaints: Complaints
) -> None:
    for text in ("WebSocket connection", "net::ERR_", "failed:", "Failed to load resource"):
        complaints.expect(text)
    leader, listener = open_tab(), open_tab()
    scans = scan(1)

    # Events of these scans have no position until the next relay.
    killed, pids = site.kill("relay"), site.pids("web")
    scans += scan(1)
    send(signal.SIGKILL, pids[:1])
    restarted(site, "web", than=pids)
    eventually(lambda: is_up(site))
    scans += scan(1)
    restarted(site, "relay", than=killed)
    scans += scan(1)

    assert hears(leader, scans)
    assert hears(listener, scans)
    assert leader.evaluate("states").count("live") >= 2


def is_up(site: RunningServer) -> bool:
    with suppress(urllib3.exceptions.HTTPError, AssertionError):
        return Api(site.base_url).ask("GET", "/healthz") is not None
    return False


NO_UPGRADE = """() => {
    window.attempts = 0;
    window.RealWebSocket = WebSocket;
    window.WebSocket = class extends EventTarget {
        constructor() {
            super();
            attempts += 1;
            setTimeout(() => this.dispatchEvent(new CloseEvent('close', {code: 1006})));
        }
        close() {}
    };
}"""
"""Sockets as behind a proxy that removes the header Upgrade."""


def test_page_polls_while_no_socket_opens_and_then_resumes(
    open_tab: Callable[..., Any], scan: Callable[[int], list[str]]
) -> None:
    page = open_tab()
    scans = scan(1)
    assert hears(page, scans)
    page.clock.install()
    page.evaluate(NO_UPGRADE)

    page.evaluate("connection.close()")
    last = page.evaluate("received.at(-1).id")
    missed = scan(1)
    reconnect(page, last)
    advance(page, until="states.at(-1) === 'polling'")
    assert page.evaluate("attempts") == 3
    assert page.evaluate(RESETS) == 1
    page.clock.run_for(5_000)
    assert page.evaluate(RESETS) >= 2

    page.evaluate("() => { window.WebSocket = RealWebSocket; }")
    advance(page, until="states.at(-1) === 'live'")
    assert hears(page, missed)
    polls = page.evaluate(RESETS)
    page.clock.run_for(20_000)
    assert page.evaluate(RESETS) == polls


def reconnect(page: Any, since: str) -> None:
    org_id = page.sockets[0].url.split("/organizations/")[1].split("?")[0]
    page.evaluate(CONNECT, [org_id, since])


def advance(page: Any, *, until: str) -> None:
    """Let the time of the page run until a condition holds."""

    def is_met() -> bool:
        page.clock.run_for(1_000)
        return bool(page.evaluate(until))

    eventually(is_met)


def test_hidden_tab_closes_its_socket_and_resumes_when_it_is_visible(
    open_tab: Callable[..., Any], scan: Callable[[int], list[str]]
) -> None:
    page = open_tab()
    page.clock.install()
    scans = scan(1)
    assert hears(page, scans)

    show(page, hidden=True)
    page.clock.run_for(59_000)
    assert page.evaluate("states.at(-1)") == "live"
    page.clock.run_for(2_000)
    assert page.evaluate("states.at(-1)") == "paused"
    scans += scan(2)
    show(page, hidden=False)

    assert hears(page, scans)
    assert len(page.sockets) == 2


def show(page: Any, *, hidden: bool) -> None:
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )
