"""A real Chromium on a real server, in which every complaint of a page fails its test."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import urllib3

from tests.conftest import PASSWORD
from tests.support.callers import bearer

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
HAS_CHROMIUM = Path(CHROMIUM).exists()
UNUSED_FEATURES = (
    # Each window would load the page below its address bar, which takes longer than most pages of Waymark.
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxFullPopup",
    # Each context would start a second process of which no test has use.
    "SpareRendererForSitePerProcess",
    # Only the last --disable-features counts. These are Playwright's.
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)
ARGUMENTS = [
    f"--disable-features={','.join(UNUSED_FEATURES)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Any request to another host fails, and with it the test.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
DAM_SQUARE = {"latitude": 52.3731, "longitude": 4.8926, "accuracy": 8}
PATIENCE = 60_000
"""Milliseconds for what a page will show. It bounds a failure on a busy machine, and asserts no speed."""
HARMLESS = ("net::ERR_ABORTED",)
"""Failures of requests that a page itself gave up, by leaving it."""


@dataclass
class Complaints:
    """What a browser complained about. Messages that contain one of `expected` do not count."""

    messages: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def expect(self, text: str) -> None:
        """Allow messages that contain this text, such as the status of a request that must fail."""
        self.expected.append(text)

    def unexpected(self) -> list[str]:
        return [text for text in self.messages if not any(allowed in text for allowed in self.expected)]


def watch(context: Any, complaints: Complaints) -> None:
    """Collect console errors, exceptions, failed requests and violations of the policy in all pages of a context."""
    context.on(
        "console",
        lambda message: (
            complaints.messages.append(f"console: {message.text} {message.location.get('url', '')}")
            if message.type == "error"
            else None
        ),
    )
    context.on("weberror", lambda error: complaints.messages.append(f"exception: {error.error}"))
    context.on(
        "requestfailed",
        lambda request: (
            complaints.messages.append(f"failed: {request.url} {request.failure}")
            if request.failure not in HARMLESS
            else None
        ),
    )
    context.add_init_script(
        "addEventListener('securitypolicyviolation', event => "
        "console.error(`violation: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"
    )


@dataclass(frozen=True)
class Api:
    """The JSON API of a running server, for what a test needs before its page opens."""

    base_url: str
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(timeout=30))

    def ask(self, method: str, path: str, token: str | None = None, json: Any = None, **headers: str) -> Any:
        """Send a request. Return the decoded body. Raise AssertionError for an error."""
        named = {name.replace("_", "-"): value for name, value in headers.items()} | (bearer(token) if token else {})
        response = self.http.request(method, self.base_url + path, json=json, headers=named)
        assert response.status < 400, f"{method} {path}: {response.status} {response.data.decode()}"
        return response.json() if response.data else None

    def register(self, username: str | None = None) -> Any:
        """Create a player with the password PASSWORD. Return their session."""
        body = {"username": username or f"p{uuid4().hex[:12]}", "password": PASSWORD}
        return self.ask("POST", "/auth/register", json=body)

    def organization(self, token: str, **fields: Any) -> Any:
        return self.ask("POST", "/api/organizations", token, {"name": f"Harbor Trail {uuid4().hex[:6]}"} | fields)

    def code(self, token: str, org_id: str, **fields: Any) -> Any:
        """Create a code that gives one spy gadget, without a location."""
        body = {
            "scan_type": "item_drop",
            "description": "Dam Square",
            "reward": {"item": "spy_gadget", "quantity": 1},
        } | fields
        return self.ask("POST", f"/api/organizations/{org_id}/qr-codes", token, body)


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running, launch(running.chromium) as browser:
        yield browser


@contextmanager
def launch(browser_type: Any, *more: str) -> Iterator[Any]:
    """Run a browser with more arguments, beside one that runs already: `launch(browser.browser_type, …)`."""
    browser = browser_type.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *more])
    yield browser
    browser.close()
