"""Firefox by WebDriver BiDi, and WebKitGTK by WebDriver: only what tests of several engines need.

Neither reports the complaints of a page in a way that both share, so `watched_app.py` collects them in the page.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import urllib3

from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import kill_group
from tests.pages.browsers import DAM_SQUARE
from tests.support.polling import eventually

FIREFOX, DRIVER, XVFB = (shutil.which(name) for name in ("firefox-esr", "WebKitWebDriver", "Xvfb"))
MINIBROWSER = next(Path("/usr/lib").glob("*/webkit2gtk-4.1/MiniBrowser"), None)
PREFERENCES = """
user_pref("app.update.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
"""
CENTER = """element => {
    if (!element?.checkVisibility()) return null;
    element.scrollIntoView({block: 'center', behavior: 'instant'});
    const box = element.getBoundingClientRect();
    return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)];
}"""
TOUCHABLE = "button, a, summary, label"


class PageError(Exception):
    """A script failed in the page, or the page was left while it ran."""


class Driver(Protocol):
    """A tab of an engine."""

    def open(self, url: str) -> None: ...
    def evaluate(self, expression: str) -> Any: ...
    def perform(self, actions: list[dict[str, Any]]) -> None: ...
    def deny_location(self, origin: str, /) -> None: ...
    def allow_location(self, origin: str, /) -> None: ...
    def close(self) -> None: ...


class Tab:
    """A tab on a site, as a person uses it. Opening it anew means another person, without cookies."""

    def __init__(self, driver: Driver, origin: str) -> None:
        self.driver = driver
        self.origin = origin

    def open(self, path: str) -> None:
        self.driver.open(self.origin + path)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, awaited, through JSON. Raise PageError if it throws."""
        return self.driver.evaluate(expression)

    def until(self, expression: str) -> Any:
        """Return the value of an expression as soon as it is true, also on the page that follows this one."""
        return eventually(lambda: self._attempt(expression))

    def sees(self, text: str) -> None:
        """Wait until a text is on the page."""
        try:
            self.until(f"document.body.innerText.includes({json.dumps(text)})")
        except AssertionError:
            raise AssertionError(f"{text!r} is not in: {self.evaluate('document.body.innerText')}") from None

    def click(self, text: str) -> None:
        """Click what carries exactly this text, with the pointer."""
        found = (
            f"[...document.querySelectorAll('{TOUCHABLE}')].findLast(e => e.innerText?.trim() === {json.dumps(text)})"
        )
        self._click(found)

    def fill(self, selector: str, text: str) -> None:
        """Type a text into an empty field."""
        self._click(f"document.querySelector({json.dumps(selector)})")
        keys = [{"type": kind, "value": letter} for letter in text for kind in ("keyDown", "keyUp")]
        self.driver.perform([{"type": "key", "id": "keyboard", "actions": keys}])

    def complaints(self) -> list[str]:
        """Return violations of the policy, errors and failed loads of all pages of this tab."""
        found: list[str] = self.evaluate("JSON.parse(sessionStorage.complaints || '[]')")
        return found

    def _click(self, element: str) -> None:
        x, y = center = self.until(f"({CENTER})({element})")
        # Until nothing moves: a page may still grow.
        while (then := self.until(f"({CENTER})({element})")) != center:
            x, y = center = then
        moves = [
            {"type": "pointerMove", "x": x, "y": y, "duration": 0},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves}
        self.driver.perform([mouse])

    def _attempt(self, expression: str) -> Any:
        try:
            return self.evaluate(expression)
        except PageError:
            return None


class FirefoxTab:
    """A tab of a new user context. See https://w3c.github.io/webdriver-bidi."""

    def __init__(self, send: Callable[..., Any]) -> None:
        self._send = send
        self._user = send("browser.createUserContext")["userContext"]
        # Not the first tab of the window: that one never has the focus.
        self._context = send("browsingContext.create", type="tab", userContext=self._user)["context"]

    def open(self, url: str) -> None:
        self._send("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression: str) -> Any:
        text = f"(async () => JSON.stringify(await ({expression})))()"
        answer = self._send("script.evaluate", expression=text, target={"context": self._context}, awaitPromise=True)
        if answer["type"] == "exception":
            raise PageError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"].get("value", "null"))

    def perform(self, actions: list[dict[str, Any]]) -> None:
        self._send("input.performActions", context=self._context, actions=actions)

    def deny_location(self, origin: str) -> None:
        self._permit(origin, "denied")

    def allow_location(self, origin: str) -> None:
        self._permit(origin, "granted")
        self._send("emulation.setGeolocationOverride", coordinates=DAM_SQUARE, userContexts=[self._user])

    def _permit(self, origin: str, state: str) -> None:
        command = "permissions.setPermission"
        self._send(command, descriptor={"name": "geolocation"}, state=state, origin=origin, userContext=self._user)

    def close(self) -> None:
        self._send("browser.removeUserContext", userContext=self._user)


class WebKitTab:
    """A session of a new MiniBrowser. See https://www.w3.org/TR/webdriver2."""

    def __init__(self, http: urllib3.PoolManager, server: str) -> None:
        self._http = http
        self._session = server
        options = {"binary": str(MINIBROWSER), "args": ["--automation"]}
        wanted = {"alwaysMatch": {"browserName": "MiniBrowser", "webkitgtk:browserOptions": options}}
        self._session += "/session/" + self._send("POST", "/session", {"capabilities": wanted})["sessionId"]

    def open(self, url: str) -> None:
        self._send("POST", "/url", {"url": url})

    def evaluate(self, expression: str) -> Any:
        script = f"""const done = arguments[arguments.length - 1];
            (async () => JSON.stringify(await ({expression})))().then(done, error => done('!' + error));"""
        answer = self._send("POST", "/execute/async", {"script": script, "args": []})
        if answer is not None and answer.startswith("!"):
            raise PageError(answer)
        return json.loads(answer or "null")

    def perform(self, actions: list[dict[str, Any]]) -> None:
        self._send("POST", "/actions", {"actions": actions})

    def deny_location(self, _origin: str) -> None:
        """Refuse on this page. The driver has no command for it, and nothing else answers the question."""
        self.evaluate("navigator.geolocation.watchPosition = (found, failed) => (failed({code: 1}), 1)")

    def allow_location(self, _origin: str) -> None:
        found = json.dumps({"coords": DAM_SQUARE})
        self.evaluate(f"navigator.geolocation.watchPosition = found => (found({found}), 1)")

    def close(self) -> None:
        self._send("DELETE", "")

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        value = self._http.request(method, self._session + path, json=body).json()["value"]
        if isinstance(value, dict) and "error" in value:
            raise PageError(f"{value['error']}: {value['message']}")
        return value


@contextmanager
def firefox() -> Iterator[Callable[[], Driver]]:
    """Run Firefox. Return what opens a tab."""
    import websocket

    with TemporaryDirectory() as folder, ExitStack() as exits:
        Path(folder, "user.js").write_text(PREFERENCES)
        log = Path(folder, "log")
        command = [str(FIREFOX), "--headless", "--no-remote", "--profile", folder, "--remote-debugging-port", "0"]
        exits.enter_context(_running(command, log))
        address = eventually(lambda: re.search(r"BiDi listening on (ws://\S+)", log.read_text(errors="replace")))
        assert address is not None
        socket = websocket.create_connection(f"{address[1]}/session", suppress_origin=True, timeout=60)
        exits.callback(socket.close)
        numbers = count(1)

        def send(method: str, **parameters: Any) -> Any:
            number = next(numbers)
            socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
            while (answer := json.loads(socket.recv())).get("id") != number:
                pass
            if answer["type"] == "error":
                raise PageError(f"{method}: {answer['message']}")
            return answer["result"]

        send("session.new", capabilities={})
        yield lambda: FirefoxTab(send)


@contextmanager
def webkit() -> Iterator[Callable[[], Driver]]:
    """Run the driver of WebKitGTK on a display of its own. Return what opens a browser."""
    with TemporaryDirectory() as folder, ExitStack() as exits:
        display = Path(folder, "display")
        screen = ["-displayfd", "1", "-screen", "0", "1280x1024x24", "-nolisten", "tcp"]
        exits.enter_context(_running([str(XVFB), *screen], display))
        # Where another display runs, complaints about its number come first.
        number = eventually(lambda: re.search(r"^(\d+)\n", display.read_text(), re.MULTILINE))
        assert number is not None
        port = free_port()
        environment = {"DISPLAY": f":{number[1]}", "WEBKIT_DISABLE_COMPOSITING_MODE": "1"}
        exits.enter_context(_running([str(DRIVER), f"--port={port}"], Path(folder, "log"), environment))
        http = urllib3.PoolManager(timeout=60, retries=urllib3.Retry(connect=50, backoff_factor=0.1, backoff_max=0.5))
        yield lambda: WebKitTab(http, f"http://{LOOPBACK}:{port}")


@contextmanager
def _running(command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a command. Its standard output goes to the log, as does the rest of what it prints."""
    with open_log(log) as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield
    finally:
        kill_group(process.pid)
        process.wait()
