"""Cross-site request forgery: which requests with a session cookie may write."""

from collections.abc import Collection

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def may_write(method: str, sec_fetch_site: str | None, origin: str | None, own_origins: Collection[str]) -> bool:
    """Return whether a request with a session cookie was sent by one of Waymark's own pages, or only reads.

    Browsers send `Sec-Fetch-Site` to secure origins and to localhost, and no script can change it (Fetch Metadata,
    W3C). Elsewhere they send `Origin` with every write. A request with neither is not from a browser page, and a
    client that is not a browser has no session cookie.
    """
    if method in SAFE_METHODS:
        return True
    if sec_fetch_site is not None:
        return sec_fetch_site == "same-origin"
    return origin is not None and origin in own_origins
