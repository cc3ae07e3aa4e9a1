"""The kind of device and whether it is a crawler, from a User-Agent header. The header itself is never stored."""

import re
from functools import lru_cache
from typing import Literal

Device = Literal["phone", "tablet", "desktop", "other"]

# No browser sends more characters, and crawlers name themselves early.
MAX_LENGTH = 512

_TABLET = re.compile(
    r"iPad|Tablet|PlayBook|Kindle|Silk/(?!.*Mobile)|Android(?!.*Mobi)(?=.*Mozilla|.*AppleWebKit)", re.IGNORECASE
)
_PHONE = re.compile(r"Mobi|iPhone|iPod|Android|Windows Phone|BlackBerry|BB10|CFNetwork/", re.IGNORECASE)
_SCREEN = re.compile(
    r"Smart-?TV|\bTV\b|AppleTV|GoogleTV|BRAVIA|Roku|PlayStation|Xbox|Nintendo|Web0S|Tizen.+TV", re.IGNORECASE
)
_DESKTOP = re.compile(r"Windows NT|Macintosh|X11|CrOS|Linux x86_64")


def device_kind(user_agent: str | None) -> Device:
    """Return the kind of device by the words that browsers use for it. A tablet that claims to be a Mac is a desktop.

    On Android, `Mobi` distinguishes phones from tablets, as browser vendors document. Apps without a browser (Dalvik,
    CFNetwork) run on phones, with few exceptions.
    """
    text = (user_agent or "")[:MAX_LENGTH]
    if _SCREEN.search(text):
        return "other"
    if _TABLET.search(text):
        return "tablet"
    if _PHONE.search(text):
        return "phone"
    return "desktop" if _DESKTOP.search(text) else "other"


def is_crawler(user_agent: str | None) -> bool:
    """True if the header names a crawler, a link preview or a program, by the list of crawler-user-agents. A missing
    header counts as a person."""
    return bool(user_agent) and _is_crawler((user_agent or "")[:MAX_LENGTH])


@lru_cache(4096)
def _is_crawler(text: str) -> bool:
    # Hundreds of patterns, loaded at the first visit.
    from crawleruseragents import is_crawler as is_listed  # noqa: PLC0415

    return bool(is_listed(text))
