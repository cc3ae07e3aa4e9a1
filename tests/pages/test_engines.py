"""Pages in Firefox and WebKitGTK, which need the Debian packages firefox-esr, webkit2gtk-driver and xvfb."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import segno

from script.stack import running_server
from script.stack.ports import LOOPBACK, free_port
from tests.conftest import PASSWORD
from tests.pages.browsers import Api
from tests.pages.conftest import Game
from tests.pages.engines import DRIVER, FIREFOX, MINIBROWSER, XVFB, Driver, FirefoxTab, Tab, firefox, webkit
from tests.support.gunicorn_server import is_alive
from tests.support.polling import eventually
from tests.system.processes import ENVIRONMENT, OwnProcess, own_process

pytestmark = [pytest.mark.system, pytest.mark.long]
ENGINES = {
    "Firefox": (firefox, FIREFOX, "there is no firefox-esr"),
    "WebKitGTK": (webkit, DRIVER and XVFB and MINIBROWSER, "there is no WebKitWebDriver, no MiniBrowser or no Xvfb"),
}

READ = """async rows => {
    const {openDetector} = await import(document.body.dataset.static + 'js/player/detector.js');
    const detector = await openDetector();
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = (rows.length + 8) * 4;
    const context = canvas.getContext('2d');
    context.fillStyle = 'white';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = 'black';
    const draw = (x, y) => context.fillRect(x * 4 + 16, y * 4 + 16, 4, 4);
    rows.forEach((row, y) => [...row].forEach((module, x) => module === '1' && draw(x, y)));
    return [detector.kind, await detector.read(canvas)];
}"""
EMPTY_MODULE = [0, 97, 115, 109, 1, 0, 0, 0]
"""A valid WebAssembly module with nothing in it."""


@dataclass(frozen=True)
class Site:
    """A server, and a web process on its stores that can be stopped and started again."""

    web: OwnProcess
    port: int

    @property
    def origin(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        self.web.start()
        eventually(lambda: is_alive(self.port))


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    port, log = free_port(), tmp_path_factory.mktemp("engines") / "web.log"
    settings = {"RATE_LIMITS_ENABLED": "false", "PUBLIC_URL": f"http://{LOOPBACK}:{port}"}
    gunicorn = ("gunicorn", "--config", "web/gunicorn_conf.py", "tests.pages.watched_app:create_app()")
    with (
        running_server(env={**ENVIRONMENT, **settings}) as server,
        own_process(server, log, *gunicorn, **settings, PORT=str(port)) as web,
    ):
        eventually(lambda: is_alive(port))
        yield Site(web, port)


@pytest.fixture(scope="module", params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Iterator[Callable[[], Driver]]:
    """Return what opens a tab of an engine."""
    start, is_installed, reason = ENGINES[request.param]
    if not is_installed:
        pytest.skip(reason)
    with start() as open_tab:
        yield open_tab


@pytest.fixture
def tab(engine: Callable[[], Driver], watched: Site) -> Iterator[Tab]:
    """Return the tab of a new visitor. Anything that a page complains about fails the test."""
    driver = engine()
    tab = Tab(driver, watched.origin)
    yield tab
    complaints = tab.complaints()
    driver.close()
    assert complaints == []


@pytest.fixture
def game(watched: Site) -> Game:
    api = Api(watched.origin)
    owner = api.register()
    return Game(api, owner, api.organization(owner["access_token"]))


def test_pages_of_visitors_and_accounts_work(tab: Tab, game: Game) -> None:
    for path in ("/", "/about", "/about/components", "/play", "/nothing", "/s/nothing"):
        tab.open(path)
        assert tab.evaluate("document.querySelector('h1, #view') !== null"), path
    tab.open("/sign-in?next=/account")
    tab.fill("[name=username]", game.owner["username"])
    tab.fill("[name=password]", PASSWORD)
    tab.click("Sign in")
    tab.sees("Continue on another device")
    assert tab.evaluate("document.querySelector('[name=username]').value") == game.owner["username"]


def test_staff_sign_in_create_a_code_and_filter_the_list(tab: Tab, game: Game) -> None:
    game.code(description="Fish market")
    path = f"/o/{game.organization['slug']}/codes"
    tab.open(f"/sign-in?next={path}")
    tab.fill("[name=username]", game.owner["username"])
    tab.fill("[name=password]", PASSWORD)
    tab.click("Sign in")
    tab.sees("Fish market")
    tab.fill("#quick-description", "Old harbor crane")
    tab.click("Create")
    tab.sees("Old harbor crane")
    tab.fill("[type=search]", "crane")
    tab.until("!document.querySelector('#rows').innerText.includes('Fish market')")
    tab.sees("Old harbor crane")
    assert tab.evaluate("location.pathname + location.search") == f"{path}?q=crane"


def test_watch_reports_a_violation_and_an_error(tab: Tab) -> None:
    """Without this, the other tests could find nothing because they look at nothing."""
    tab.open("/about")
    with pytest.raises(Exception, match=r"TrustedHTML|innerHTML"):
        tab.evaluate("document.body.innerHTML = '<b>x</b>'")
    tab.evaluate("setTimeout(() => missing())")
    eventually(lambda: len(tab.complaints()) == 2)
    assert [text.split(":")[0] for text in sorted(tab.complaints())] == ["error", "violation"]
    tab.evaluate("sessionStorage.clear()")


def test_guest_checks_in_without_a_location(tab: Tab, game: Game) -> None:
    tab.open(f"/s/{game.code()['code']}")
    tab.click("Check in")
    tab.sees("+1 spy gadget")
    assert [scan["status"] for scan in game.scans()] == ["success"]


def test_denied_location_is_explained(tab: Tab, game: Game) -> None:
    code = game.code(latitude=52.3731, longitude=4.8926, radius_m=50, requires_location=True)
    tab.open(f"/s/{code['code']}")
    tab.driver.deny_location(tab.origin)
    tab.click("Check in")
    tab.sees("Location access is blocked.")
    tab.sees("Allow it for this site, then try again.")
    tab.click("Not now")
    tab.until("document.querySelector('dialog') === null")
    assert game.scans() == []


def test_scans_wait_while_the_web_process_is_stopped(tab: Tab, game: Game, watched: Site) -> None:
    """One is made on an open page, and in Firefox two more on pages from the service worker. All survive a reload."""
    first, *more = [game.code(description=name)["code"] for name in ("First", "Second", "Third")]
    # In WebKitGTK, a click on such a page sometimes has no effect. The cause is not known.
    codes = [first, *more] if isinstance(tab.driver, FirefoxTab) else [first]
    tab.open(f"/s/{first}")
    tab.until("navigator.serviceWorker.controller !== null")
    watched.web.kill()
    try:
        for code in codes:
            if code != first:
                tab.open(f"/s/{code}")
                # Without a connection, a code may need it.
                tab.driver.allow_location(tab.origin)
            tab.click("Check in")
            tab.sees("Saved on this phone")
        tab.open(tab.evaluate("location.pathname"))
        tab.sees("Saved on this phone")
    finally:
        watched.start()
    # The pauses between attempts have become long by now. This is what the browser sends when its network returns.
    tab.until("dispatchEvent(new Event('online'))")
    tab.sees("+1 spy gadget")
    eventually(lambda: [scan["status"] for scan in game.scans()] == ["success"] * len(codes))
    scans = sorted(game.scans(), key=lambda scan: scan["scanned_at"])
    assert [scan["qr_code"] for scan in scans] == codes
    assert len({scan["player_id"] for scan in scans}) == 1


def test_only_the_worker_starts_webassembly_and_reads_a_code(tab: Tab) -> None:
    tab.open("/play/scan")
    rows = ["".join("01"[module] for module in row) for row in segno.make_qr("https://example.org/s/spy123").matrix]
    assert tab.evaluate(f"({READ})({json.dumps(rows)})") == ["worker", "https://example.org/s/spy123"]
    assert tab.complaints() == []
    assert tab.evaluate(f"WebAssembly.instantiate(new Uint8Array({EMPTY_MODULE})).then(() => 1, () => 0)") == 0
    tab.evaluate("sessionStorage.clear()")
