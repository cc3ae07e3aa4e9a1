"""What holds for each page in a browser: accessible in every size and scheme (WCAG 2.2), and well-formed.

Each function returns a line per fault. axe is put into a page once and returns faults only, so it takes 50 ms a look.
"""

import re
from typing import Any

import pytest

from tests.pages.html_checks import faults_of

EVERYTHING = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
COLORS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
"""What a scheme can change: the elements and their names are the same in light and dark."""
SHAPES = ((390, "light", EVERYTHING), (390, "dark", COLORS), (1280, "light", EVERYTHING), (1280, "dark", COLORS))
HEIGHT = 844
LOOK = """async (runOnly) => {
    const found = await axe.run({exclude: [['[aria-busy=true]']]}, {resultTypes: ['violations'], runOnly});
    return found.violations.flatMap(({id, nodes}) => nodes.map(({html}) => `${id}: ${html.slice(0, 160)}`));
}"""
"""A button that is busy cannot be used, so its text needs no contrast (1.4.3)."""
SETTLED = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [
    `scrollWidth is ${document.documentElement.scrollWidth}`,
    ...[...document.querySelectorAll('body *')].filter(element => element.getBoundingClientRect().right > innerWidth)
        .map(element => element.outerHTML.slice(0, 120))]"""
SPACED = """() => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: 0.12em !important;
        word-spacing: 0.16em !important } p { margin-block-end: 2em !important }`);
    document.adoptedStyleSheets = [sheet];
    const clipped = [...document.querySelectorAll('body *')].filter(element => {
        const {overflowX, overflowY} = getComputedStyle(element);
        return element.innerText && !element.matches('.visually-hidden, .visually-hidden *, thead, select, option')
            && ((['hidden', 'clip'].includes(overflowY) && element.scrollHeight > element.clientHeight + 1)
             || (['hidden', 'clip'].includes(overflowX) && element.scrollWidth > element.clientWidth + 1));
    }).map(element => element.outerHTML.slice(0, 120));
    document.adoptedStyleSheets = [];
    return clipped;
}"""
FORCED = """() => {
    const find = selector => [...document.querySelectorAll(selector)].filter(element => element.checkVisibility());
    const hasBorder = element => {
        const {borderTopStyle, borderTopWidth} = getComputedStyle(element);
        return borderTopStyle !== 'none' && parseFloat(borderTopWidth) >= 1;
    };
    const isMarked = element => getComputedStyle(element).textDecorationLine === 'underline';
    const hasWords = element => element.closest('li, tr, p, dl, div, button, a')?.textContent.trim();
    const isNamed = element => element.querySelector('svg') && element.textContent.trim();
    const wrong = [
        ...find('.button, .badge, .banner, .card').filter(element => !hasBorder(element)),
        ...find('[aria-current]').filter(element => !isMarked(element)),
        ...find('[class*=tone-]:not(.map-point, .map-pulse)').filter(element => !hasWords(element)),
        ...find('.banner:not(.form-error), .verdict').filter(element => !isNamed(element)),
    ];
    return wrong.map(element => element.outerHTML.slice(0, 120));
}"""
"""What loses its shape or its meaning in a scheme that replaces all colors (1.4.1)."""
HELPLESS = """() => document.querySelector('.screen-page, footer a:first-child[href="/about#help"]') ? [] : [
    'Help is not the first link of the footer']"""
"""Help is in the same place on each page (3.2.6). A screen has no visitors who could follow a link."""
WATCH = """() => {
    const name = element => element.outerHTML.slice(0, 100);
    const isSeen = ({outlineStyle, outlineWidth}) => outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
    globalThis.walk = {faults: [], focused: new Set()};
    globalThis.addEventListener('focusin', ({target}) => {
        walk.focused.add(target);
        // A choice is drawn by its label, and a field of tags by what contains them.
        const drawn = target.matches('.choice input, .tag-input input') ? target.parentElement : target;
        if (![drawn, target, ...drawn.children].some(element => isSeen(getComputedStyle(element))))
            walk.faults.push(`the focus is not seen: ${name(target)}`);
        const {left, top, width, height} = drawn.getBoundingClientRect();
        const middle = document.elementFromPoint(left + width / 2, top + Math.min(height, innerHeight) / 2);
        if (!middle || !(drawn.contains(middle) || middle.contains(drawn)))
            walk.faults.push(`hidden by ${middle ? name(middle) : 'the edge'}: ${name(target)}`);
    });
    const groups = new Set();
    const isNext = element => {
        if (!element.checkVisibility() || element.disabled || element.closest('[inert], [hidden]')) return false;
        if (element.type !== 'radio') return true;
        return !groups.has(element.name) && groups.add(element.name);
    };
    walk.expected = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
        .filter(isNext);
    document.activeElement?.blur();
    scrollTo(0, 0);
    // A date has a stop for each of its parts.
    return walk.expected.length + 7 * walk.expected.filter(element => element.type === 'datetime-local').length;
}"""
WALKED = """() => {
    const missed = walk.expected.filter(element => ![...walk.focused].some(focused =>
        focused === element || (focused.type === 'radio' && focused.name === element.name)));
    return [...walk.faults, ...missed.map(element => `not reached by Tab: ${element.outerHTML.slice(0, 100)}`)];
}"""


def faults_of_page(page: Any, path: str) -> list[str]:
    """Open a page. Return what is wrong with it in every size and scheme, and with its HTML."""
    settle(page, path)
    wrong = faults_of_open_page(page)
    return wrong + faults_of(page.context.request.get(path, headers={"Accept": "text/html"}).text())


def settle(page: Any, path: str) -> None:
    """Open a page, and wait for its heading and its data."""
    page.goto(path)
    page.locator("h1").first.wait_for()
    page.locator(".loading").wait_for(state="detached")


def faults(page: Any, rules: dict[str, Any] = EVERYTHING) -> list[str]:
    """Return what axe finds now by these rules."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT)
    return list(page.evaluate(LOOK, rules))


def faults_of_open_page(page: Any) -> list[str]:
    """Return what axe finds on a phone and on a desktop, in light and dark, and what is too wide.

    Nothing scrolls sideways at 320 px, on its side, beside the navigation, or with text of 200 % (1.3.4, 1.4.4,
    1.4.10).
    """
    found = []
    for width, scheme, rules in SHAPES:
        show(page, width, HEIGHT, color_scheme=scheme)
        found += [f"at {width}, {scheme}: {fault}" for fault in faults(page, rules)]
    show(page, 390, HEIGHT, forced_colors="active")
    found += [f"in forced colors: {element}" for element in page.evaluate(FORCED)]
    show(page, 320, 640, forced_colors="none")
    found += page.evaluate(HELPLESS)
    found += [f"too wide at 320: {element}" for element in page.evaluate(TOO_WIDE)]
    show(page, 568, 320)
    found += [f"too wide on its side: {element}" for element in page.evaluate(TOO_WIDE)]
    show(page, 900, 700)
    found += [f"too wide beside the rail: {element}" for element in page.evaluate(TOO_WIDE)]
    show(page, 640, 800)
    page.evaluate("() => { document.documentElement.style.fontSize = '200%'; }")
    found += [f"too wide with text of 200 %: {element}" for element in page.evaluate(TOO_WIDE)]
    page.evaluate("() => { document.documentElement.style.fontSize = ''; }")
    return found


def clipped_texts(page: Any) -> list[str]:
    """Return what is cut off by the spacing of text that a reader may choose (1.4.12)."""
    show(page, 390, HEIGHT)
    return [f"clipped when spaced: {element}" for element in page.evaluate(SPACED)]


def keyboard_faults(page: Any) -> list[str]:
    """Walk a page by Tab: return what is not reached (2.1.1), not marked (2.4.7), or hidden by a bar (2.4.11)."""
    show(page, 390, HEIGHT)
    for _ in range(page.evaluate(WATCH) + 1):
        page.keyboard.press("Tab")
    return list(page.evaluate(WALKED))


def show(page: Any, width: int, height: int, **media: str) -> None:
    """Give the page another window, and wait until it is drawn."""
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(reduced_motion="reduce", **media)
    page.evaluate(SETTLED)


def sizes_of(page: Any, path: str, *, apart: str = r"\.wasm$") -> tuple[float, float, float, float, int]:
    """Open a page. Return the kB of scripts, styles, fonts and in total, as sent, and the number of requests.

    Requests whose address contains the pattern `apart` do not count.
    """
    requests: list[Any] = []

    def add(request: Any) -> None:
        requests.append(request)

    # Playwright cannot wrap a built-in method.
    page.on("requestfinished", add)
    page.goto(path, wait_until="networkidle")
    page.remove_listener("requestfinished", add)

    sizes = dict.fromkeys(("script", "stylesheet", "font", "other"), 0.0)
    counted = [request for request in requests if not re.search(apart, request.url)]
    for request in counted:
        kind = request.resource_type if request.resource_type in sizes else "other"
        sizes[kind] += request.sizes()["responseBodySize"] / 1000
    return (sizes["script"], sizes["stylesheet"], sizes["font"], sum(sizes.values()), len(counted))


def over_limits(figures: tuple[float, ...], limits: tuple[float, ...]) -> list[str]:
    """Return which figures of `sizes_of` are over their limits."""
    names = ("kB of scripts", "kB of styles", "kB of fonts", "kB", "requests")
    return [
        f"{figure:.1f} {name}, more than {limit}"
        for name, figure, limit in zip(names, figures, limits, strict=True)
        if figure > limit
    ]
