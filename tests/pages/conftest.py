"""Fixtures of the tests of pages: one server and one browser for all, and a context for each test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from script.stack import RunningServer, running_server
from script.stack.running_server import CHECKOUT
from tests.pages.browsers import DESKTOP, HAS_CHROMIUM, PATIENCE, PHONE, Api, Complaints, chromium, watch
from tests.system.processes import ENVIRONMENT

CONFIGURATION = "web/gunicorn_conf.py"


@dataclass(frozen=True)
class Game:
    """An organization with its owner, made for one test."""

    api: Api
    owner: dict[str, Any]
    organization: dict[str, Any]

    @property
    def org_id(self) -> str:
        return str(self.organization["id"])

    def code(self, **fields: Any) -> Any:
        return self.api.code(self.owner["access_token"], self.org_id, **fields)

    def change(self, code: Any, **fields: Any) -> Any:
        path = f"/api/organizations/{self.org_id}/qr-codes/{code['id']}"
        return self.api.ask("PATCH", path, self.owner["access_token"], fields)

    def scans(self) -> Any:
        path = f"/api/organizations/{self.org_id}/scans?status=any"
        return self.api.ask("GET", path, self.owner["access_token"])["items"]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """All of Waymark, with real processes and cheap hashes. The tests share it; each makes its own organization."""
    if not HAS_CHROMIUM:
        pytest.skip("there is no /usr/bin/chromium")
    procfile = tmp_path_factory.mktemp("site") / "Procfile"
    lines = (CHECKOUT / "Procfile").read_text()
    assert CONFIGURATION in lines
    procfile.write_text(lines.replace(CONFIGURATION, "tests/pages/gunicorn_with_cheap_hashes.py"))
    environment = {**ENVIRONMENT, "RATE_LIMITS_ENABLED": "false", "PUBLIC_URL": ""}
    with running_server(env=environment, arguments=("--procfile", str(procfile))) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if not HAS_CHROMIUM:
        pytest.skip("there is no /usr/bin/chromium")
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with chromium() as running:
        yield running


@pytest.fixture
def api(site: RunningServer) -> Api:
    return Api(site.base_url)


@pytest.fixture
def game(api: Api) -> Game:
    owner = api.register()
    return Game(api, owner, api.organization(owner["access_token"]))


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """What the browser complained about in this test. Anything unexpected fails it."""
    collected = Complaints()
    yield collected
    assert collected.unexpected() == []


@pytest.fixture
def open_context(site: RunningServer, browser: Any, complaints: Complaints) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a browser context on the server: `open_context(phone=True, color_scheme="dark")`.

    Service workers are off unless `service_workers="allow"`, so that each test starts with the server's pages.
    """
    with ExitStack() as exits:

        def make(*, phone: bool = False, **options: Any) -> Any:
            shape = {"viewport": PHONE, "is_mobile": True, "has_touch": True} if phone else {"viewport": DESKTOP}
            defaults = {**shape, "locale": "en-US", "service_workers": "block"}
            context = browser.new_context(**{"base_url": site.base_url, **defaults, **options})
            exits.callback(context.close)
            context.set_default_timeout(PATIENCE)
            watch(context, complaints)
            return context

        yield make


@pytest.fixture
def phone(open_context: Callable[..., Any]) -> Any:
    """Return a page of a phone without a session."""
    return open_context(phone=True).new_page()


@pytest.fixture
def desktop(open_context: Callable[..., Any]) -> Any:
    """Return a page of a desktop without a session."""
    return open_context().new_page()
