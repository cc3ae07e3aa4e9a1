"""What holds for all pages of an organization: each role is offered what it may do, and pages are small."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.routing import RequestRedirect

from script.stack import RunningServer
from shared.organizations.rules import ROLES, Role, includes_role
from tests.pages.browsers import Api, Complaints
from tests.pages.check_ins import sign_in
from tests.pages.html_checks import faults_of
from tests.pages.page_checks import clipped_texts, keyboard_faults, over_limits, settle, sizes_of
from tests.pages.staff_world import CODES, StaffWorld, make_staff_world
from web.app import create_app
from web.http.auth import requirement_of

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]
WITH_MAP = (75, 18, 34, 150, 22)
SIZE_LIMITS = {
    "/o/{slug}/codes": (24, 14, 34, 90, 16),
    "/o/{slug}/codes/new": WITH_MAP,
    "/o/{slug}/codes/{code_id}/edit": WITH_MAP,
    "/o/{slug}/codes/{code_id}/design": (26, 14, 34, 85, 16),
    "/o/{slug}/map": WITH_MAP,
    "/o/{slug}/live": WITH_MAP,
    "/o/{slug}/simulator": WITH_MAP,
    "/o/{slug}/analytics": (14, 14, 34, 75, 12),
}
"""By page, for a first visit: kB of scripts, styles, fonts and in total, as sent, and the number of requests. Without
the images of codes."""
WALKED = (
    "/o/{slug}/codes/{code_id}",
    "/o/{slug}/codes/{code_id}/edit",
    "/o/{slug}/codes/{code_id}/design",
    "/o/{slug}/map",
    "/o/{slug}/renders/new",
    "/o/{slug}/analytics",
    "/o/{slug}/progress",
    "/o/{slug}/reviews",
    "/o/{slug}/simulator",
    "/o/{slug}/quests/{name}",
)
IMAGE = r"/image\?"
MAX_IMAGE_BYTES = 2000
CLICK_ALL = """async () => {
    const CONTROLS = 'button, summary, .list-count input';
    const clicked = new Set();
    const isNext = element => !clicked.has(element) && !element.disabled && element.checkVisibility()
        && !element.matches('[data-end-session]');
    for (const form of document.forms) form.noValidate = true;
    for (let round = 0; round < 6; round++) {
        // An open dialog comes first, because it covers the rest.
        const dialog = [...document.querySelectorAll('dialog[open], [popover]:popover-open')].at(-1);
        const found = [...(dialog || document).querySelectorAll(CONTROLS)].filter(isNext);
        if (!found.length && !dialog) return;
        if (!found.length) dialog.close ? dialog.close() : dialog.hidePopover();
        for (const element of found) {
            clicked.add(element);
            element.click();
            if (document.querySelector('dialog[open]') !== (dialog ?? null)) break;
        }
        await new Promise(done => setTimeout(done, 30));
    }
}"""
LINKS = "() => [...document.querySelectorAll('a[href], form[action]')].map(each => each.href || each.action)"
IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@pytest.fixture(scope="module")
def world(site: RunningServer) -> StaffWorld:
    return make_staff_world(Api(site.base_url))


@pytest.fixture(scope="module")
def routes() -> Any:
    """Return the URL map and the views of the API."""
    return create_app()


def may_send(app: Any, role: Role, method: str, path: str) -> bool:
    """Return whether a member with this role may send this request."""
    try:
        endpoint, _ = app.url_map.bind("").match(path, method)
    except RequestRedirect:
        return False
    needed = requirement_of(app.view_functions[endpoint]).role
    return needed is None or includes_role(role, needed)


def kind_of(address: str) -> tuple[str, ...]:
    """Return what links to the same page, with other ids and values, have in common."""
    parts = urlsplit(address)
    return (IDS.sub("", parts.path), *sorted(parse_qs(parts.query)))


@pytest.fixture
def offered(
    open_context: Callable[..., Any], site: RunningServer, world: StaffWorld, complaints: Complaints
) -> Callable[[Role], dict[str, set[tuple[str, str]]]]:
    """Return a function that opens all pages of a role, clicks all controls, and returns the writes of each page.

    No write reaches the server, and no click leaves its page. Each kind of link is followed once.
    """
    complaints.expect("409")

    def open_all(role: Role) -> dict[str, set[tuple[str, str]]]:
        context = open_context(reduced_motion="reduce")
        sign_in(context, site, world.players[role]["username"])
        page, sent, stays, followed = context.new_page(), dict[str, set[tuple[str, str]]](), [False], set[Any]()

        def hold_back(route: Any) -> None:
            request = route.request
            if request.method != "GET":
                sent[rule].add((request.method, urlsplit(request.url).path))
                route.fulfill(status=409, json={"detail": "Changed in the meantime.", "status": 409})
            elif stays[0] and request.is_navigation_request():
                route.abort("aborted")
            else:
                route.continue_()

        page.route("**", hold_back)
        for rule, path in world.pages_of(*ROLES[: ROLES.index(role) + 1]).items():
            sent[rule] = set()
            response = page.goto(path)
            settle_open(page)
            assert (rule, response.status, faults_of(response.text())) == (rule, 200, [])
            links = [link for link in page.evaluate(LINKS) if link.startswith(site.base_url)]
            new = {kind_of(link): link for link in links}
            for kind in new.keys() - followed:
                answer = context.request.head(new[kind], max_redirects=0)
                assert answer.status < 400, f"{rule} links to {new[kind]}: {answer.status}"
            followed |= new.keys()
            stays[0] = True
            page.evaluate(CLICK_ALL)
            stays[0] = False
        return sent

    return open_all


def settle_open(page: Any) -> None:
    page.locator("h1").first.wait_for()
    page.locator(".loading").wait_for(state="detached")


@pytest.mark.parametrize("role", [role for role in ROLES if role != "owner"])  # who may do everything
def test_role_is_offered_only_what_it_may_do(offered: Any, routes: Any, role: Role) -> None:
    sent = offered(role)

    refused = {
        (rule, method, path)
        for rule, requests in sent.items()
        for method, path in requests
        if not may_send(routes, role, method, path)
    }
    assert refused == set()


def test_pages_are_walked_by_tab(open_context: Callable[..., Any], site: RunningServer, world: StaffWorld) -> None:
    """On a phone, where cards replace tables, and bars cover the edges."""
    context = open_context()
    sign_in(context, site, world.players["owner"]["username"])
    page, found = context.new_page(), dict[str, list[str]]()
    for rule in WALKED:
        settle(page, world.paths[rule])
        found[rule] = clipped_texts(page) + keyboard_faults(page)

    assert {rule: faults for rule, faults in found.items() if faults} == {}


def test_refused_write_is_noticed(routes: Any, world: StaffWorld) -> None:
    """The negative control: a member may leave, and create no code."""
    members = f"/api/organizations/{world.organization['id']}"

    assert may_send(routes, "member", "DELETE", f"{members}/members/{world.players['member']['player_id']}")
    assert not may_send(routes, "member", "POST", f"{members}/qr-codes")


def test_pages_stay_within_their_size(open_context: Callable[..., Any], site: RunningServer, world: StaffWorld) -> None:
    context = open_context(phone=True)
    sign_in(context, site, world.players["owner"]["username"])
    page, images = context.new_page(), list[int]()
    cache = context.new_cdp_session(page)

    def add(request: Any) -> None:
        if re.search(IMAGE, request.url):
            images.append(request.sizes()["responseBodySize"])

    page.on("requestfinished", add)

    for rule, limits in SIZE_LIMITS.items():
        cache.send("Network.clearBrowserCache")
        images.clear()
        assert (rule, over_limits(sizes_of(page, world.paths[rule], apart=IMAGE), limits)) == (rule, [])
        assert (rule, len(images) <= CODES) == (rule, True)
        assert (rule, [size for size in images if size > MAX_IMAGE_BYTES]) == (rule, [])
