"""URLs of stores, split into their parts."""

import pytest

from shared.store_urls import SentinelUrl, parse_sentinel_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        (
            "redis+sentinel://:p%40w@a:26379,b:26380,[::1]:5/mymaster/2?sentinel_password=s%2Fp",
            SentinelUrl((("a", 26379), ("b", 26380), ("::1", 5)), "mymaster", 2, None, "p@w", None, "s/p", False),
        ),
        (
            "rediss+sentinel://ada:pw@a/m?sentinel_username=eve&sentinel_password=x",
            SentinelUrl((("a", 26379),), "m", 0, "ada", "pw", "eve", "x", True),
        ),
        ("redis+sentinel://a,b/m/", SentinelUrl((("a", 26379), ("b", 26379)), "m", 0, None, None, None, None, False)),
    ],
)
def test_sentinel_url(url: str, parts: SentinelUrl) -> None:
    assert parse_sentinel_url(url) == parts


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:1,b:2",
        "redis+sentinel://a:1/m/zero",
        "redis+sentinel://p@ss@a/m",
        "redis+sentinel:///m",
        "redis+sentinel://a:99x/m",
        "redis+sentinel://a/m?sentinel_pasword=typo",
        "redis://a/0",
    ],
)
def test_other_urls_are_rejected(url: str) -> None:
    with pytest.raises(ValueError, match=r"sentinel|master"):
        parse_sentinel_url(url)
