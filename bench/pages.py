"""From a tap on the page of a code to its verdict, in Chromium. `python -m bench pages`."""

import shutil
import time
from typing import Any
from uuid import uuid4

from playwright.sync_api import sync_playwright

from bench.stack import scaled
from bench.table import Figure, Table, percentile
from script.client import Client
from script.stack import running_server

TAPS, ROUNDS, WARM_UP = 200, 5, 5
GOALS_MS = {50: 150.0, 95: 300.0}
PLACE = {"latitude": 52.373, "longitude": 4.8926}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "geolocation": {**PLACE, "accuracy": 8},
    "permissions": ["geolocation"],
}
WATCH = """
addEventListener('click', () => (window.tapped ??= performance.now()), true);
new MutationObserver(() => {
    if (window.tapped && !window.shown && document.querySelector('.verdict.tone-ok h1'))
        requestAnimationFrame(() => (window.shown ??= performance.now()));
}).observe(document, {childList: true, subtree: true});
"""
"""The verdict counts from its first frame."""


def main(scale: float = 1.0) -> list[Table]:
    """Tap in a browser and scan by HTTP alone, in turn. The goals are durations, not ratios."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("\nNo pages: there is no chromium. Install it with the package manager of the system.")
        return []
    taps: list[list[float]] = []
    requests: list[list[float]] = []
    count = scaled(TAPS // ROUNDS, scale, 2)
    with (
        running_server(env={"PUBLIC_URL": "", "RATE_LIMITS_ENABLED": "false"}) as server,
        sync_playwright() as playwright,
    ):
        code = create_code(Client(server.base_url))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(base_url=server.base_url, **PHONE)
        context.add_init_script(WATCH)
        page, guest = context.new_page(), Client(server.base_url)
        player = guest.post("/auth/guest", Idempotency_Key=str(uuid4()))
        guest.token = player["access_token"]
        for _ in range(WARM_UP):
            tap(page, code)
        for _ in range(ROUNDS):
            taps.append([tap(page, code) for _ in range(count)])
            requests.append([scan(guest, player["player_id"], code) for _ in range(count)])
        browser.close()
    figures = [
        Figure.of_latencies("tap to verdict, position known", percent, taps, requests, "≤", None)
        for percent in GOALS_MS
    ]
    are_soon = all(
        percentile([each for one in taps for each in one], percent) < GOALS_MS[percent] for percent in GOALS_MS
    )
    print(f"\nGoals of a tap: p50 < 150 ms, p95 < 300 ms. Met: {'yes' if are_soon else 'NO'}")
    return [Table("Pages", figures, other_goals_met=are_soon)]


def create_code(owner: Client) -> str:
    """Return a code that needs the location and can be scanned again and again."""
    account = {"username": f"bench-{uuid4().hex[:12]}", "password": uuid4().hex}
    owner.token = owner.post("/auth/register", account)["access_token"]
    organization = owner.post("/api/organizations", {"name": "Bench", "slug": account["username"]})
    fields = {"scan_type": "item_drop", "reward": {"item": "gem", "quantity": 1}, "per_player_limit": None}
    located = {"requires_location": True, "radius_m": 50, **PLACE}
    return str(owner.post(f"/api/organizations/{organization['id']}/qr-codes", {**fields, **located})["code"])


def tap(page: Any, code: str) -> float:
    """Open the page of the code and tap. Return the seconds until its verdict was shown."""
    page.goto(f"/s/{code}")
    page.locator("#check-in-button").click()
    page.wait_for_function("() => window.shown")
    return float(page.evaluate("shown - tapped")) / 1_000


def scan(guest: Client, player_id: str, code: str) -> float:
    """Send the request of a tap. Return the seconds until its verdict."""
    body = {"player_id": player_id, "qr_code": code, "nonce": str(uuid4()), **PLACE, "accuracy": 8}
    began = time.perf_counter()
    verdict = guest.post("/scan", body, Prefer="wait=8")
    assert verdict["status"] == "success", verdict
    return time.perf_counter() - began
