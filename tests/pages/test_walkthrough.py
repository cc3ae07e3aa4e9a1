"""One walk through the pages of staff: from a new account to a printed sheet, a scan seen live, and a review."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import PASSWORD
from tests.pages.browsers import DAM_SQUARE
from tests.pages.check_ins import shows, tap
from tests.pages.staff_world import UTRECHT
from tests.support.polling import eventually

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("browser")]
STOPS = {"Dam Square": "52.3731, 4.8926", "Old Church": "52.3744, 4.8981", "Dom Tower": "52.0907, 5.1214"}
CODE_PAGE = re.compile(r"/codes/[0-9a-f-]{36}$")


def create_organization(page: Any) -> str:
    """Create an account and its organization by keyboard. Return the path of the organization."""
    name = f"Harbor Trail {uuid4().hex[:6]}"
    page.goto("/create-account?next=/o")
    page.get_by_label("Username").fill(f"ada-{uuid4().hex[:8]}")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_text("Create your first organization").wait_for()
    page.keyboard.press("n")
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Your first scan in three steps").wait_for()
    return f"/o/{page.url.rpartition('/')[2]}"


def create_codes(page: Any, base: str) -> dict[str, dict[str, str]]:
    """Place the codes on the map, by pasting their coordinates. Return path and printed address of each."""
    made = {}
    for description, place in STOPS.items():
        page.goto(f"{base}/codes")
        page.keyboard.press("n")
        page.wait_for_url("**/codes/new")
        page.get_by_label("Description").fill(description)
        page.get_by_label("Item", exact=True).last.fill("gold coin")
        page.locator("#paste").fill(place)
        page.locator("#sentence", has_text=f"1 gold coin, once, within 50 m of {description}.").wait_for()
        page.get_by_role("button", name="Create code").press("Enter")
        page.wait_for_url(CODE_PAGE)
        made[description] = {"path": page.url, "address": page.locator("#code-page").get_attribute("data-url")}
    page.goto(f"{base}/map")
    page.get_by_text("3 codes").wait_for()
    return made


def design(page: Any, path: str) -> None:
    """Give a code another color and style, which the server has decoded."""
    page.goto(path)
    page.get_by_role("link", name="Design").click()
    page.get_by_role("button", name="Forest").press("Enter")
    page.locator("#proof-readable.tone-ok").wait_for()
    page.get_by_role("button", name="Save").press("Enter")
    page.locator(".toast", has_text="Saved").wait_for()


def printed_sheet(page: Any, base: str) -> bytes:
    """Render a label sheet of all codes. Return the PDF."""
    page.goto(f"{base}/codes")
    page.get_by_label("Select all codes on this page").check()
    page.get_by_role("button", name="Label sheet").press("Enter")
    page.get_by_text("3 codes on 1 sheet").wait_for()
    page.get_by_role("button", name="Start render").press("Enter")
    link = page.get_by_role("link", name="Download")
    link.wait_for(timeout=60_000)
    with page.expect_download() as downloading:
        link.click()
    return Path(downloading.value.path()).read_bytes()


def printed_page(page: Any, base: str, description: str) -> bytes:
    """Return the PDF that Print opens in the menu of a code."""
    page.goto(f"{base}/codes")
    page.locator("tr", has_text=description).get_by_role("button", name="Actions for").press("Enter")
    link = page.locator("#code-menu a", has_text="Print")
    link.wait_for()
    return bytes(page.context.request.get(link.get_attribute("href")).body())


def check_in(phone: Any, code: dict[str, str], place: dict[str, float], headline: str) -> None:
    """Scan a printed code with a phone at a place."""
    phone.context.set_geolocation(place)
    phone.goto(code["address"])
    tap(phone)
    shows(phone, headline)


def counted_scans(page: Any) -> str:
    """Return what analytics shows now."""
    page.reload()
    return str(page.locator(".period-figures .figure", has_text="Scans").first.locator("strong").inner_text())


def test_first_code_to_a_reviewed_scan(open_context: Callable[..., Any]) -> None:
    staff = open_context(reduced_motion="reduce").new_page()
    base = create_organization(staff)
    codes = create_codes(staff, base)
    design(staff, codes["Dam Square"]["path"])
    assert printed_sheet(staff, base).startswith(b"%PDF")
    assert printed_page(staff, base, "Old Church").startswith(b"%PDF")

    staff.keyboard.press("g")
    staff.keyboard.press("l")
    staff.locator("#live-state[data-connection=live]").wait_for()
    phone = open_context(phone=True, geolocation=DAM_SQUARE, permissions=["geolocation"]).new_page()
    check_in(phone, codes["Dam Square"], DAM_SQUARE, "+1 gold coin")
    staff.locator("[data-status=success]", has_text="Dam Square").get_by_text("1 gold coin").wait_for()
    check_in(phone, codes["Dom Tower"], UTRECHT, "Under review")
    staff.locator("[data-status=held]", has_text="Dom Tower").wait_for()

    staff.keyboard.press("g")
    staff.keyboard.press("r")
    staff.locator("tr", has_text="Dom Tower").get_by_role("link").press("Enter")
    staff.get_by_role("heading", name="Impossible travel").wait_for()
    staff.keyboard.press("r")
    staff.get_by_role("dialog").get_by_role("button", name="Release").press("Enter")
    staff.locator("#scan[data-status=success]").wait_for()
    phone.reload()
    shows(phone, "+1 gold coin")

    staff.keyboard.press("g")
    staff.keyboard.press("a")
    staff.get_by_role("heading", level=1, name="Analytics").wait_for()
    eventually(lambda: counted_scans(staff) == "2")
    staff.goto(base)
    assert staff.locator(".figure", has_text="Scans today").locator("strong").inner_text() == "2"
    assert staff.locator("#checklist").count() == 0
