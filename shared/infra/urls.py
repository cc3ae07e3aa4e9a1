"""URLs to which browsers are redirected."""

import re
from collections.abc import Iterable
from unicodedata import category
from urllib.parse import quote, unquote

import ada_url

MAX_URL = 2048
_UNSEEN = r"\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"  # controls, spaces, marks that turn text
_HOST = rf"[^{_UNSEEN}\\/?#@:\[\]<>%\x22]+"
_IPV6 = r"\[[0-9A-Fa-f:.]+\]"
WEB_URL = rf"^([Hh][Tt][Tt][Pp][Ss]?)://({_HOST}|{_IPV6})(:[0-9]{{1,5}})?([/?#][^{_UNSEEN}\\]*)?$"
"""Absolute, http or https, with a host, without credentials. No backslash, because browsers read it as a slash."""
NON_ASCII = re.compile(r"[^\x00-\x7f]+")


def is_web_url(text: str) -> bool:
    """Return whether a browser goes to the host that the URL shows: no `javascript:`, `//evil`, `\\evil`, `user@`."""
    return (
        len(text) <= MAX_URL
        and re.fullmatch(WEB_URL, text) is not None
        and all(map(_is_visible, text))
        and ada_url.check_url(text)
        and all(map(_is_decodable, ada_url.URL(text).hostname.split(".")))
    )


def _is_visible(character: str) -> bool:
    """False for controls, spaces and format characters. Later versions of Unicode may assign what is unassigned."""
    return character.isprintable() or category(character) == "Cn"


def _is_decodable(label: str) -> bool:
    """False for a label of a host in Punycode that encodes no name. Browsers refuse it (UTS 46, 4), ada does not."""
    return not label.startswith("xn--") or ada_url.idna_to_unicode(label) != label


def to_location(url: str) -> str:
    """Return the web URL as a Location header states it: byte for byte, if it is ASCII.

    Other characters become percent-encoded UTF-8 (RFC 3987, 3.1), and those of a host become Punycode as in browsers
    (UTS 46, WHATWG URL).
    """
    scheme, host, port, rest = re.fullmatch(WEB_URL, url).groups(default="")  # type: ignore[union-attr]
    if not host.isascii():
        host = ada_url.URL(url).hostname
    return f"{scheme}://{host}{port}" + NON_ASCII.sub(lambda match: quote(match[0]), rest)


def leads_below(url: str, base_url: str, prefixes: Iterable[str]) -> bool:
    """Return whether a web URL leads to a path below one of these prefixes at the base URL, in any spelling of it."""
    if not ada_url.check_url(base_url):
        # A Host header can be any text.
        return False
    target, base = ada_url.URL(url), ada_url.URL(base_url)
    if _host_and_port(target) != _host_and_port(base):
        return False
    path = re.sub("/+", "/", unquote(target.pathname)).lower()
    root = base.pathname.rstrip("/")
    return any(path.startswith(f"{root}{prefix}/".lower()) for prefix in prefixes)


def _host_and_port(url: ada_url.URL) -> tuple[str, str]:
    """Return the host without a trailing dot, and the port: empty for the default port of http or https."""
    return url.hostname.rstrip("."), "" if url.port in ("80", "443") else url.port
