"""A real browser: the documentation works under its policy, and CORS decides which pages can call the API."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from script.stack.ports import LOOPBACK
from tests.pages.browsers import PATIENCE
from tests.support.callers import Staff
from tests.support.gunicorn_server import serving

pytestmark = pytest.mark.system
WATCH = "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"
FETCH = """async ([url, token]) => {
    try {
        const response = await fetch(url, {headers: {Authorization: `Bearer ${token}`, 'X-Request-ID': 'from-a-page'}});
        return [response.status, response.headers.get('X-Request-ID'), await response.text()];
    } catch (error) {
        return error.name;
    }
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serve another site, and return its origin."""
    with ThreadingHTTPServer((LOOPBACK, 0), partial(Quiet, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def stage(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, str, str, str]]:
    """Return the browser, and three origins: Waymark's, one on the allow-list and another one."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text("<!doctype html><title>A page</title>")
    with ExitStack() as exits:
        allowed, other = (exits.enter_context(site(folder)) for _ in range(2))
        log = tmp_path_factory.mktemp("edges") / "web.log"
        port = exits.enter_context(serving(log, ALLOWED_ORIGINS=allowed))
        yield browser, f"http://{LOOPBACK}:{port}", allowed, other


def test_documentation_works_under_its_policy(stage: tuple[Any, str, str, str]) -> None:
    browser, waymark, *_ = stage
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page.on("console", lambda values: complaints.append(values.text) if values.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.add_init_script(WATCH)
    page.goto(f"{waymark}/docs")
    page.locator("#operations-tag-Accounts").click()
    page.locator(".opblock-summary-path", has_text="/auth/login").first.click()
    page.get_by_role("button", name="Try it out").first.click()

    assert page.evaluate("violations") == []
    assert complaints == []
    page.close()


def test_page_of_an_allowed_origin_can_call_the_api(
    stage: tuple[Any, str, str, str], client: Any, staff: Staff
) -> None:
    browser, waymark, allowed, _ = stage
    page = browser.new_page()
    page.goto(allowed)

    status, request_id, text = page.evaluate(FETCH, [f"{waymark}/users/me", staff.member.access_token])
    assert (status, request_id) == (200, "from-a-page")
    assert str(staff.member.id) in text
    status, _, text = page.evaluate(FETCH, [f"{waymark}/users/me", "none"])
    assert status == 401
    assert "application" not in text
    page.close()


def test_page_of_another_origin_cannot_call_the_api(
    stage: tuple[Any, str, str, str], client: Any, staff: Staff
) -> None:
    browser, waymark, _, other = stage
    page = browser.new_page()
    page.goto(other)

    assert page.evaluate(FETCH, [f"{waymark}/users/me", staff.member.access_token]) == "TypeError"
    embedded = "url => fetch(url, {mode: 'no-cors'}).catch(error => error.name)"
    assert page.evaluate(embedded, f"{waymark}/healthz") == "TypeError"
    page.close()


def test_pages_cannot_be_framed_and_run_no_script(stage: tuple[Any, str, str, str]) -> None:
    browser, waymark, allowed, _ = stage
    page = browser.new_page()
    page.add_init_script(WATCH)
    page.goto(f"{waymark}/s/nothing")
    assert page.locator("h1").inner_text() == "We don't recognize this code"
    assert page.evaluate("violations") == []
    page.goto(allowed)
    framed = page.evaluate(
        """url => new Promise(done => {
            const frame = document.createElement('iframe');
            frame.onload = () => done(frame.contentDocument === null);
            frame.src = url;
            document.body.append(frame);
        })""",
        f"{waymark}/docs",
    )
    assert framed
    assert "Waymark" not in page.frames[-1].content()
    page.close()
