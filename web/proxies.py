"""Proxies that stand before us: what they tell of the client is believed for as many as TRUSTED_PROXIES says."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from shared.settings import settings


def init_app(app: Flask) -> None:
    """Take the address from X-Forwarded-For and the scheme from X-Forwarded-Proto, counted from the right: what a
    client writes itself stands left of what its proxies add.

    X-Forwarded-Host is never read: proxies that do not set it pass on a client's. PUBLIC_URL says who we are.
    """
    if hops := settings().trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
