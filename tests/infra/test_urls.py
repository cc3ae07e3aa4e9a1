from unicodedata import category
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.infra.urls import is_web_url


@pytest.mark.parametrize(
    "text",
    [
        "http://example.com",
        "https://example.com/",
        "HTTPS://Example.COM:8443/a//b?q=1&r=%20#part",
        "https://exämple.nl/straße?q=ü",
        "http://127.0.0.1:8000/s/abc",
        "http://[2001:db8::1]:8000/",
        "https://example.com?next=//evil.com",
        "https://example.com/@user",
    ],
)
def test_web_urls(text: str) -> None:
    assert is_web_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "//evil.com",
        "\\\\evil.com",
        "/\\evil.com",
        "https:\\\\evil.com",
        "https:/evil.com",
        "https:evil.com",
        "https:///evil.com",
        "https://",
        "https://?q",
        "https://:80",
        "https://example.com\\@evil.com",
        "https://user@evil.com",
        "https://user:password@evil.com",
        "https://example.com:80@evil.com",
        "https://example.com:port/",
        "https://[::1",
        "https://[0]",
        "https://[:::]",
        "https://exa mple.com",
        "https://exa%6dple.com",
        " https://example.com",
        "https://example.com\n",
        "https://example.com/\r\nSet-Cookie: a=b",
        "https://example.com/\x00",
        "https://example.com/\u202egnp.exe",
        "https://example.com\u2028/",
        "java\tscript:alert(1)",
        "javascript:alert(1)",
        "JavaScript://example.com/%0aalert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:msgbox(1)",
        "file:///etc/passwd",
        "ftp://example.com",
        "https://exam\u00adple.com",
        "https://example.com/\u061c",
        "blob:https://example.com/1",
        "https://example.com/" + "a" * 2048,
        "https://" + "a:" * 50_000,
    ],
)
def test_rejected_urls(text: str) -> None:
    assert not is_web_url(text)


@given(st.one_of(st.text(), st.from_regex(r"https?:[\\/]{0,3}.*"), st.text("htps:/\\@?#.[]a1").map("https://".__add__)))
@example("https://a:1")
@example("https://a.\U00018cd6")
def test_accepted_url_leads_to_the_host_it_shows(text: str) -> None:
    if is_web_url(text):
        parts = urlsplit(text)
        assert parts.scheme in ("http", "https")
        assert parts.hostname
        assert (parts.username, parts.password) == (None, None)
        assert all(char.isprintable() or category(char) == "Cn" for char in text)
