"""Proxies that stand before us: what they tell of the client is believed for as many as TRUSTED_PROXIES says."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from shared.settings import settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def init_app(app: Flask) -> None:
    """Take the address from X-Forwarded-For and the scheme from X-Forwarded-Proto, counted from the right: what a
    client writes itself stands left of what its proxies add.

    X-Forwarded-Host is never read: proxies that do not set it pass on a client's. PUBLIC_URL says who we are.
    """
    if hops := settings().trusted_proxies:
        app.wsgi_app = ProxyFix(_with_scheme(app.wsgi_app, hops), x_for=hops, x_proto=0)  # type: ignore[method-assign]


def _with_scheme(app: "WSGIApplication", hops: int) -> "WSGIApplication":
    """Some proxies add to X-Forwarded-Proto, as all do to X-Forwarded-For; most write it anew, and then there are fewer
    entries than proxies, the first of them by one of ours. ProxyFix would believe none of these."""

    def run(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        told = [each.strip() for each in environ.get("HTTP_X_FORWARDED_PROTO", "").split(",")]
        scheme = told[-min(hops, len(told))]
        if scheme in ("http", "https"):
            environ["wsgi.url_scheme"] = scheme
        return app(environ, start_response)

    return run
