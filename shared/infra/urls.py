"""URLs to which browsers are redirected."""

import re
from ipaddress import IPv6Address
from unicodedata import category
from urllib.parse import urlsplit

MAX_URL = 2048
_UNSEEN = r"\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"  # controls, spaces, marks that turn text
_HOST = rf"[^{_UNSEEN}\\/?#@:\[\]<>%\x22]+"
_IPV6 = r"\[[0-9A-Fa-f:.]+\]"
WEB_URL = rf"^[Hh][Tt][Tt][Pp][Ss]?://({_HOST}|{_IPV6})(:[0-9]{{1,5}})?([/?#][^{_UNSEEN}\\]*)?$"
"""Absolute, http or https, with a host, without credentials. No backslash, because browsers read it as a slash."""


def is_web_url(text: str) -> bool:
    """Return whether a browser goes to the host that the URL shows: no `javascript:`, `//evil`, `\\evil`, `user@`."""
    return (
        len(text) <= MAX_URL
        and re.fullmatch(WEB_URL, text) is not None
        and all(map(_is_visible, text))
        and _has_valid_host(text)
    )


def _is_visible(character: str) -> bool:
    """False for controls, spaces and format characters. Later versions of Unicode may assign what is unassigned."""
    return character.isprintable() or category(character) == "Cn"


def _has_valid_host(url: str) -> bool:
    """Return False for brackets without an IPv6 address in them, such as `https://[0]`."""
    try:
        bracketed = re.match(_IPV6, urlsplit(url).netloc)
        return bracketed is None or bool(IPv6Address(bracketed[0][1:-1]))
    except ValueError:
        return False
