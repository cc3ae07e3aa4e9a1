"""Where a code URL leads, which requests a person made, and the kinds of devices."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codes.rotation import Rotation
from shared.visits.rules import LinkTarget, is_prefetch, resolve
from shared.visits.user_agents import MAX_LENGTH, device_kind, is_crawler

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)
POSTER = LinkTarget(
    id=UUID(int=1),
    code="poster",
    description="",
    scan_type=None,
    target_url="https://museum.example/",
    active=True,
    starts_at=None,
    expires_at=None,
    max_scans=None,
    use_count=0,
    now=NOW,
)
ROTATION = Rotation(30, b"k" * 32)
DROP = replace(POSTER, scan_type="item_drop")
SECOND = timedelta(seconds=1)
EVIL = [
    "//evil.example",
    "\\\\evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "https:evil.example",
    "https://museum.example@evil.example/",
    "https://museum.example\\@evil.example",
    "https://a.example/\r\nSet-Cookie: a=b",
    " https://a.example",
    "",
]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (POSTER, "redirect"),
        (DROP, "page"),
        (replace(DROP, target_url=None), "page"),
        (replace(POSTER, active=False), "gone"),
        (replace(DROP, active=False), "gone"),
        (replace(POSTER, expires_at=NOW), "gone"),
        (replace(POSTER, expires_at=NOW + SECOND), "redirect"),
        (replace(DROP, expires_at=NOW - SECOND), "gone"),
        (replace(POSTER, starts_at=NOW + SECOND), "not_started"),
        (replace(POSTER, starts_at=NOW), "redirect"),
        (replace(DROP, starts_at=NOW + SECOND), "not_started"),
        (replace(POSTER, max_scans=5, use_count=4), "redirect"),
        (replace(POSTER, max_scans=5, use_count=5), "gone"),
        (replace(DROP, max_scans=5, use_count=5), "page"),
        *((replace(POSTER, target_url=url), "not_found") for url in (*EVIL, None)),
    ],
)
def test_code_url_leads_to(code: LinkTarget, expected: str) -> None:
    assert resolve(code) == expected


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {}, False),
        ("GET", {"Sec-Purpose": "none", "Purpose": ""}, False),
        ("HEAD", {}, True),
        ("GET", {"Sec-Purpose": "prefetch;prerender"}, True),
        ("GET", {"Sec-Purpose": "prefetch"}, True),
        ("GET", {"Purpose": "Prefetch"}, True),
        ("GET", {"X-Purpose": "preview"}, True),
        ("GET", {"X-Moz": "prefetch"}, True),
    ],
)
def test_prefetches_are_recognized(method: str, headers: dict[str, str], expected: bool) -> None:
    assert is_prefetch(method, headers) == expected


WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
DEVICES = {
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/140.0.0.0 Mobile Safari/537.36": "phone",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile/15E148": "phone",
    "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0": "phone",
    "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 Mobile Edge/15": "phone",
    "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/AP2A)": "phone",
    "CityQuest/12 CFNetwork/1490.0.4 Darwin/23.2.0": "phone",
    f"Mozilla/5.0 (Linux; Android 14; SM-X710) {WEBKIT} Chrome/140.0.0.0 Safari/537.36": "tablet",
    "Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605.1.15 Version/16.0 Mobile/15E148": "tablet",
    "Mozilla/5.0 (Android 14; Tablet; rv:140.0) Gecko/140.0 Firefox/140.0": "tablet",
    f"Mozilla/5.0 (Linux; Android 9; KFMAWI) {WEBKIT} Silk/120.1 like Chrome/120.0 Safari/537.36": "tablet",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36": "desktop",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.0 Safari/605.1.15": "desktop",
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": "desktop",
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/140.0.0.0 Safari/537.36": "desktop",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 7.0) AppleWebKit/537.36 Version/7.0 TV Safari/537.36": "other",
    "Mozilla/5.0 (PlayStation; PlayStation 5/6.00) AppleWebKit/605.1.15 Version/16.5 Safari/605.1.15": "other",
    "python-urllib3/2.2": "other",
    "okhttp/4.12.0": "other",
    "": "other",
    None: "other",
}


@pytest.mark.parametrize(("user_agent", "device"), DEVICES.items())
def test_user_agent_names_the_kind_of_device(user_agent: str | None, device: str) -> None:
    assert device_kind(user_agent) == device


@pytest.mark.parametrize(
    "user_agent",
    [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) {WEBKIT} Chrome/140 Mobile Safari (compatible; Googlebot/2.1)",
        "WhatsApp/2.23.20.0",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "TelegramBot (like TwitterBot)",
        "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
        "LinkedInBot/1.0 (compatible; Mozilla/5.0)",
        "curl/8.5.0",
    ],
)
def test_crawlers_and_link_previews_are_recognized(user_agent: str) -> None:
    assert is_crawler(user_agent)


@pytest.mark.parametrize("user_agent", [agent for agent in DEVICES if agent != "okhttp/4.12.0"])
def test_browsers_are_not_crawlers(user_agent: str | None) -> None:
    assert not is_crawler(user_agent)


@given(st.text() | st.text(alphabet="Android Mobi()TV;/", max_size=4 * MAX_LENGTH))
def test_device_kind_reads_a_bounded_prefix(text: str) -> None:
    assert device_kind(text) in ("phone", "tablet", "desktop", "other")
    assert device_kind(text + "x" * MAX_LENGTH + "iPhone") == device_kind(text + "x" * MAX_LENGTH)


@pytest.mark.parametrize(
    ("steps_old", "resolution"), [(None, "out_of_date"), (0, "redirect"), (1, "redirect"), (2, "out_of_date")]
)
def test_rotating_code_needs_a_current_step(steps_old: int | None, resolution: str) -> None:
    code = replace(POSTER, rotation_secret=ROTATION.secret)
    step_mac = None if steps_old is None else ROTATION.sign(ROTATION.step_at(NOW) - steps_old)

    assert resolve(code, step_mac) == resolution
    assert resolve(POSTER, step_mac) == "redirect"
    assert resolve(replace(code, active=False), step_mac) == "gone"
