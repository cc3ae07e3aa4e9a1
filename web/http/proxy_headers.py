"""Proxies in front of the service: read the client's address and scheme from their headers."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def init_app(app: Flask, trusted_proxies: int) -> None:
    """Take the address from X-Forwarded-For and the scheme from X-Forwarded-Proto. With 0 proxies, trust neither.

    `request.remote_addr` is an IP address or None.

    Entries count from the right: a client's own entries are left of those that the proxies append. X-Forwarded-Host is
    never read, because a proxy that does not set it forwards the client's. PUBLIC_URL names this installation.
    """
    app.wsgi_app = _with_address(app.wsgi_app)  # type: ignore[assignment,method-assign]
    if trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            _with_scheme(app.wsgi_app, trusted_proxies), x_for=trusted_proxies, x_proto=0
        )


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address as proxies write it: with a port, in brackets, with a zone. None if it is none.

    An IPv4 address within IPv6 is the IPv4 address.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _with_address(app: "WSGIApplication") -> "WSGIApplication":
    def run(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # A proxy passes on what its own client sent as an address.
        address = parse_address(environ.pop("REMOTE_ADDR", ""))
        if address is not None:
            environ["REMOTE_ADDR"] = str(address)
        return app(environ, start_response)

    return run


def _with_scheme(app: "WSGIApplication", trusted_proxies: int) -> "WSGIApplication":
    # Some proxies append to X-Forwarded-Proto, as all do to X-Forwarded-For. Most replace it, which leaves fewer
    # entries than proxies, and the first is from a trusted proxy. ProxyFix would ignore such a short header.
    def run(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        schemes = [entry.strip() for entry in environ.get("HTTP_X_FORWARDED_PROTO", "").split(",")]
        scheme = schemes[-min(trusted_proxies, len(schemes))]
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        return app(environ, start_response)

    return run
