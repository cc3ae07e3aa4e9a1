"""Proxies in front of the service: read the client's address and scheme from their headers."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def init_app(app: Flask, trusted_proxies: int) -> None:
    """Take the address from X-Forwarded-For and the scheme from X-Forwarded-Proto. With 0 proxies, trust neither.

    Entries count from the right: a client's own entries are left of those that the proxies append. X-Forwarded-Host is
    never read, because a proxy that does not set it forwards the client's. PUBLIC_URL names this installation.
    """
    if trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            _with_scheme(app.wsgi_app, trusted_proxies), x_for=trusted_proxies, x_proto=0
        )


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
