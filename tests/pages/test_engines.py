"""Pages in Firefox and WebKitGTK, which need the Debian packages firefox-esr, webkit2gtk-driver and xvfb."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from script.stack import running_server
from script.stack.ports import LOOPBACK, free_port
from tests.conftest import PASSWORD
from tests.pages.browsers import Api
from tests.pages.conftest import Game
from tests.pages.engines import DRIVER, FIREFOX, MINIBROWSER, XVFB, Driver, Tab, firefox, webkit
from tests.support.gunicorn_server import is_alive
from tests.support.polling import eventually
from tests.system.processes import ENVIRONMENT, OwnProcess, own_process

pytestmark = [pytest.mark.system, pytest.mark.long]
ENGINES = {
    "Firefox": (firefox, FIREFOX, "there is no firefox-esr"),
    "WebKitGTK": (webkit, DRIVER and XVFB and MINIBROWSER, "there is no WebKitWebDriver, no MiniBrowser or no Xvfb"),
}


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
    tab.open(f"/s/{game.code()['code']}")
    watched.web.kill()
    try:
        tab.click("Check in")
        tab.sees("Saved on this phone")
    finally:
        watched.start()
    tab.sees("+1 spy gadget")
    assert [scan["status"] for scan in game.scans()] == ["success"]
