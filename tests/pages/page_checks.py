"""What holds for each page in a browser: accessible in light and dark, as wide as the window, well-formed."""

from typing import Any

import pytest

from tests.pages.html_checks import faults_of

SIZES = ((390, "light"), (390, "dark"), (1280, "light"), (1280, "dark"))
ALL_RULES = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
}
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [
    `scrollWidth is ${document.documentElement.scrollWidth}`,
    ...[...document.querySelectorAll('body *')].filter(element => element.getBoundingClientRect().right > innerWidth)
        .map(element => element.outerHTML.slice(0, 120))]"""


def faults_of_page(page: Any, path: str) -> list[str]:
    """Open a page in every size and color scheme. Return what is wrong with it, in a line each."""
    settle(page, path)
    wrong = faults_of_open_page(page)
    return wrong + faults_of(page.context.request.get(path).text())


def faults_of_open_page(page: Any) -> list[str]:
    """Return what is wrong with the page as it is now, in every size and color scheme."""
    wrong = []
    for width, scheme in SIZES:
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        options = ALL_RULES if (width, scheme) == SIZES[0] else CONTRAST
        wrong += [f"at {width}, {scheme}: {fault}" for fault in faults(page, options)]
    page.set_viewport_size({"width": 320, "height": 640})
    wrong += [f"is too wide at 320: {element}" for element in overflow(page)]
    page.set_viewport_size({"width": 640, "height": 800})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    wrong += [f"is too wide with text of 200 %: {element}" for element in overflow(page)]
    page.evaluate("document.documentElement.style.fontSize = ''")
    return wrong


def settle(page: Any, path: str) -> None:
    """Open a page, and wait for its heading and its data."""
    page.goto(path)
    page.locator("h1").first.wait_for()
    page.locator(".loading").wait_for(state="detached")


def faults(page: Any, options: dict[str, Any]) -> list[str]:
    """Return what axe finds, in a line per element."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # A button that is busy cannot be used, so its text needs no contrast (WCAG 1.4.3).
    found = axe.run(page, context={"exclude": [["[aria-busy=true]"]]}, options=options).response["violations"]
    return [f"{fault['id']}: {node['html'][:160]}" for fault in found for node in fault["nodes"]]


def overflow(page: Any) -> list[str]:
    """Return the elements that make the page wider than its window."""
    return list(page.evaluate(TOO_WIDE))
