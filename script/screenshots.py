"""Images of the pages for the README, taken from the running demo by a real browser."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import sync_playwright

from script.client import Client
from script.demo import Played, play
from script.stack import running_server

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
MAX_BYTES = 120_000
COLORS = 128
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 780},
    "device_scale_factor": 1.5,
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1200, "height": 750}}
ADDRESS = "http://192.168.1.20:8000"
"""What printed codes open. Pages warn of an address that phones cannot reach."""
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True)
class Shot:
    """One image: its file, who looks at which page, and on what."""

    name: str
    path: str
    player: str | None
    device: dict[str, Any]
    scheme: str = "light"
    act: Callable[[Any], None] | None = None
    """What happens on the page before the image is taken."""


def check_in(page: Any) -> None:
    """Check in, and wait for the verdict."""
    page.locator("#check-in-button").click()
    page.wait_for_url("**/play/result/*")
    page.get_by_role("heading", name="+5 gem").wait_for()


def shots(screen: str, code: str) -> tuple[Shot, ...]:
    """Return all images to take. `screen` is the path of a screen, `code` that of a code; `{run}` is replaced."""
    return (
        Shot("check-in", "/s/dam-{run}", None, PHONE),
        Shot("verdict", "/s/fountain-{run}", None, PHONE, act=check_in),
        Shot("inventory", "/play/inventory", "ada", PHONE, "dark"),
        Shot("quests", "/play/quests", "ada", PHONE),
        Shot("home", "/", None, DESKTOP, "dark"),
        Shot("screen", screen, None, DESKTOP),
        Shot("staff-overview", "/o/{slug}", "owner", DESKTOP),
        Shot("staff-live", "/o/{slug}/live", "owner", DESKTOP, "dark"),
        Shot("staff-design", f"{code}/design", "owner", DESKTOP),
        Shot("staff-analytics", "/o/{slug}/analytics", "owner", DESKTOP, "dark"),
        Shot("staff-codes", "/o/{slug}/codes", "owner", PHONE),
        Shot("staff-editor", f"{code}/edit", "owner", PHONE, "dark"),
        Shot("staff-map", "/o/{slug}/map", "owner", PHONE),
        Shot("staff-review", "/o/{slug}/reviews", "owner", PHONE, "dark"),
    )


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("script/screenshots needs chromium. Install it with the package manager of the system.", file=sys.stderr)
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as data, running_server(env={"PUBLIC_URL": ADDRESS}) as server:
        played = play(server, Path(data))
        owner = sign_in(server.base_url, played)
        [organization] = owner.get("/api/organizations")["items"]
        codes = f"/api/organizations/{organization['id']}/qr-codes"
        screen = make_screen(owner, codes)
        [dam] = owner.get(f"{codes}?q=dam-{played.run}")["items"]
        with sync_playwright() as running:
            browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            for shot in shots(screen, f"/o/{played.slug}/codes/{dam['id']}"):
                file = folder / f"{shot.name}.png"
                file.write_bytes(take(browser, server.base_url, shot, played))
                print(f"{file}: {file.stat().st_size // 1000} kB", flush=True)
            browser.close()
    return 0


def sign_in(base_url: str, played: Played) -> Client:
    """Return a client of the owner."""
    credentials = {"username": played.owner, "password": played.passwords[played.owner]}
    return Client(base_url, Client(base_url).post("/auth/login", credentials)["access_token"])


def make_screen(owner: Client, codes: str) -> str:
    """Create a rotating code. Return the path of a screen that shows it."""
    fields = {"scan_type": "item_drop", "description": "Entrance of the museum", "rotating": True}
    code = owner.post(codes, {**fields, "reward": {"item": "gem", "quantity": 1}})
    url: str = owner.post(f"{codes}/{code['id']}/screens", {"name": "Entrance"})["url"]
    return urlsplit(url).path


def take(browser: Any, base_url: str, shot: Shot, played: Played) -> bytes:
    """Return an image as a PNG of few colors. Raise ValueError if it is too large for the repository."""
    context = browser.new_context(base_url=base_url, locale="en-US", color_scheme=shot.scheme, **shot.device)
    if shot.player is not None:
        username = f"{shot.player}-{played.run}"
        credentials = {"username": username, "password": played.passwords[username]}
        context.request.post("/session", data=credentials, headers=SAME_ORIGIN)
    page = context.new_page()
    page.goto(shot.path.format(run=played.run, slug=played.slug), wait_until="networkidle")
    if shot.act is not None:
        shot.act(page)
    # Animations end before the image is taken.
    taken = page.screenshot(animations="disabled")
    context.close()
    written = BytesIO()
    with Image.open(BytesIO(taken)) as drawn:
        drawn.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(written, "PNG", optimize=True)
    if written.tell() > MAX_BYTES:
        raise ValueError(f"{shot.name} has {written.tell():,} bytes, more than {MAX_BYTES:,}")
    return written.getvalue()


if __name__ == "__main__":
    sys.exit(main())
