"""What a User-Agent says of itself: the kind of device, and whether it is a crawler. It is looked at and never kept."""

import re
from functools import lru_cache
from typing import Literal

Device = Literal["phone", "tablet", "desktop", "other"]

LONGEST = 512  # characters that are looked at: no browser's is longer, and a crawler names itself early

_TABLET = re.compile(
    r"iPad|Tablet|PlayBook|Kindle|Silk/(?!.*Mobile)|Android(?!.*Mobi)(?=.*Mozilla|.*AppleWebKit)", re.IGNORECASE
)
_PHONE = re.compile(r"Mobi|iPhone|iPod|Android|Windows Phone|BlackBerry|BB10|CFNetwork/", re.IGNORECASE)
_SCREEN = re.compile(
    r"Smart-?TV|\bTV\b|AppleTV|GoogleTV|BRAVIA|Roku|PlayStation|Xbox|Nintendo|Web0S|Tizen.+TV", re.IGNORECASE
)
_DESKTOP = re.compile(r"Windows NT|Macintosh|X11|CrOS|Linux x86_64")


def device_kind(user_agent: str | None) -> Device:
    """The kind of device, by the words that browsers use for it. A tablet that says it is a Mac is told as one.

    `Mobi` tells a phone from a tablet among Android's browsers, as their makers document; apps that are no browser
    (Dalvik, CFNetwork) nearly always run on phones.
    """
    told = (user_agent or "")[:LONGEST]
    if _SCREEN.search(told):
        return "other"
    if _TABLET.search(told):
        return "tablet"
    if _PHONE.search(told):
        return "phone"
    return "desktop" if _DESKTOP.search(told) else "other"


def is_crawler(user_agent: str | None) -> bool:
    """Whether it names a crawler, a link preview or a program, by the list of crawler-user-agents. Who names nothing is
    taken for a person."""
    return bool(user_agent) and _is_crawler((user_agent or "")[:LONGEST])


@lru_cache(4096)
def _is_crawler(told: str) -> bool:
    from crawleruseragents import is_crawler as is_listed  # noqa: PLC0415 - loaded when first used: hundreds of patterns

    return bool(is_listed(told))
