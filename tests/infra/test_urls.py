from unicodedata import category
from urllib.parse import urlsplit

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.infra.urls import is_web_url, leads_below, to_location


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
        "https://xn--strae-oqa.example/",
        "https://WWW.XN--FSQU00A.xn--0zwm56d/",
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
        "https://example.com:99999/",
        "https://xn--a/",
        "https://www.xn--99999999.example/",
        "https://straße.XN--a.example/",
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


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/?abc#123",
        "https://example.com/c?cct=%24+13%0Ar&x=%2540#f%20g",
        "https://example.com/#/route?x=1&y=[2]",
        "https://example.com/a%2Fb/c?filter[a]=1|2",
        "https://id.example.com/01/09506000134352/21/AB%2F1?17=261231",
        "https://example.com/?",
        "https://example.com/#",
        "https://EXAMPLE.com:443/A",
        "HTTPS://example.com",
        'https://example.com/"<>[]^{}`|~',
        "https://xn--strae-oqa.example/",
    ],
)
def test_location_of_an_ascii_url_is_the_url(url: str) -> None:
    assert to_location(url) == url


@pytest.mark.parametrize(
    ("url", "location"),
    [
        (
            "https://example.com/产品/电子?q=größe#é",
            "https://example.com/%E4%BA%A7%E5%93%81/%E7%94%B5%E5%AD%90?q=gr%C3%B6%C3%9Fe#%C3%A9",
        ),
        ("https://example.com/é%20[?#", "https://example.com/%C3%A9%20[?#"),
        ("https://straße.example/", "https://xn--strae-oqa.example/"),
        ("https://faß.example/menü", "https://xn--fa-hia.example/men%C3%BC"),
        ("https://MÜNCHEN.example:8443", "https://xn--mnchen-3ya.example:8443"),
        ("https://例子.测试/", "https://xn--fsqu00a.xn--0zwm56d/"),
    ],
)
def test_location_of_other_urls(url: str, location: str) -> None:
    """RFC 3987 for path, query and fragment, and UTS 46 without transition for the host."""
    assert to_location(url) == location


@given(
    st.one_of(
        st.builds(
            "https://{}{}{}".format,
            st.text(st.characters(categories=["L", "N"]) | st.sampled_from("-.ß"), min_size=1, max_size=20),
            st.sampled_from(["", ":8000", ":99999", ":0"]),
            st.text(st.characters(codec="utf-8"), max_size=20).map("/{}".format),
        ),
        st.from_regex(r"https?://[a-z.]{1,9}[/?#].*"),
    )
)
@example("https://a.\U00018cd6/")
def test_every_accepted_url_has_a_location_that_leads_to_the_same_place(url: str) -> None:
    if not is_web_url(url):
        return
    location = to_location(url)
    assert location.isascii()
    assert location.isprintable()
    assert " " not in location
    assert ada_url.URL(location).href == ada_url.URL(url).href


BASE = "https://way.example"


@pytest.mark.parametrize(
    "url",
    [
        "https://way.example/s/abc",
        "https://way.example/s/abc?x#y",
        "HTTPS://WAY.EXAMPLE/s/abc",
        "https://way.example:443/s/abc",
        "http://way.example/s/abc",
        "http://way.example:80/s/abc",
        "https://way.example./s/abc",
        "https://\uff57\uff41\uff59.example/s/abc",
        "https://way.example//s/abc",
        "https://way.example/x/../s/abc",
        "https://way.example/%73/abc",
        "https://way.example/S/abc",
    ],
)
def test_every_spelling_of_a_code_of_this_installation_is_found(url: str) -> None:
    assert is_web_url(url)
    assert leads_below(url, BASE, ["/s"])


@pytest.mark.parametrize(
    "url",
    [
        "https://way.example/",
        "https://way.example/about/s/abc",
        "https://way.example/shop/abc",
        "https://way.example:8443/s/abc",
        "https://other.example/s/abc",
        "https://www.way.example/s/abc",
        "https://other.example/?u=https://way.example/s/abc",
    ],
)
def test_other_addresses_are_not_codes_of_this_installation(url: str) -> None:
    assert not leads_below(url, BASE, ["/s"])


def test_ports_and_paths_of_the_base_url_count() -> None:
    assert leads_below("http://127.0.0.1:8000/s/abc", "http://127.0.0.1:8000", ["/s"])
    assert leads_below("http://0x7f.1:8000/s/abc", "http://127.0.0.1:8000", ["/s"])
    assert not leads_below("http://127.0.0.1:9000/s/abc", "http://127.0.0.1:8000", ["/s"])
    assert leads_below("https://way.example/qr/s/abc", "https://way.example/qr", ["/s"])
    assert not leads_below("https://way.example/s/abc", "http://[", ["/s"])
