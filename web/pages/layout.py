"""Render HTML pages: templates, their context and headers.

With `PAGES=false` only printed codes and screens have pages: bare ones that load nothing and run no script.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from flask import Flask, Response, g, make_response, render_template, request

from shared.accounts import store as accounts
from shared.accounts.store import Account
from shared.infra import db
from shared.settings import as_origin
from web.http.auth import optional_caller
from web.http.compression import compress
from web.http.session_cookies import renew_session_cookie
from web.http.settings import current_settings
from web.pages import headers, i18n
from web.pages.assets import color, load_assets
from web.pages.headers import PageKind

BARE_STYLE = (Path(__file__).parent / "static" / "page.css").read_text()
BARE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(BARE_STYLE.encode()).digest()).decode()}'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
THEMES = ("light", "dark")
THEME_COOKIE = "waymark_theme"
NO_STORE = "no-store"
REVALIDATED = "private, no-cache"
"""For pages that a service worker keeps: the browser asks again each time."""


def init_app(app: Flask) -> None:
    """Give every template what it needs: languages, paths of static files, the caller."""
    i18n.init_app(app)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True

    @app.context_processor
    def add_context() -> dict[str, Any]:
        if not current_settings().pages:
            return {
                "layout": "layout/bare.html",
                "site_layout": "layout/bare.html",
                "style": BARE_STYLE,
                "language": i18n.current_language(),
            }
        return {
            "layout": "layout/player.html",
            "site_layout": "layout/site.html",
            "static": load_assets().url,
            "color": color,
            "pwa": current_settings().pwa,
            "map_tiles": current_settings().map_tiles,
            "map_attribution": current_settings().map_attribution,
            "preloads": _preloads,
            "language": i18n.current_language(),
            "languages": i18n.NAMES,
            "theme": current_theme(),
            "account": current_account,
        }


def html_response(description: str, heading: str) -> dict[str, Any]:
    """Return the OpenAPI response of a page with this heading."""
    example = f"<!doctype html><html lang=en><title>{heading}</title><h1>{heading}</h1></html>"
    return {"description": description, "content": {"text/html": {"schema": {"type": "string"}, "example": example}}}


def render_page(
    template: str,
    status: int = 200,
    *,
    kind: PageKind = "page",
    devices: Literal["none", "location", "all"] = "none",
    cache_control: str = NO_STORE,
    modules: Sequence[str] = (),
    preloaded: Sequence[str] = (),
    **values: Any,
) -> Response:
    """Return a page. `modules` are the scripts that it starts, `preloaded` those that they import when needed.

    Both are paths below `static/js`.
    """
    values |= {"modules": modules, "preloaded": preloaded, "kind": kind}
    response = make_response(render_template(template, **values), status)
    if not current_settings().pages:
        response.headers["Content-Security-Policy"] = BARE_POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
    tiles = current_settings().map_tiles
    hosts = (urlsplit(current_settings().public_base_url).netloc, request.host)
    response.headers["Content-Security-Policy"] = headers.content_security_policy(
        kind, hosts, is_secure=request.is_secure, tiles=tiles and as_origin(tiles)
    )
    response.headers["Permissions-Policy"] = headers.permissions_policy(devices)
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = cache_control
    caller = optional_caller()
    if caller is not None and caller.by_cookie:
        renew_session_cookie(response, caller)
    if cache_control == REVALIDATED:
        response.vary.update(("Cookie", "Accept-Language"))
    compress(response)
    return response


def go_to(path: str) -> Response:
    """Return a redirect to a page of this site, after which the browser sends GET (RFC 9110, 15.4.4)."""
    return Response(status=303, headers={"Location": path})


def current_theme() -> str | None:
    """Return the theme of this browser. None: that of its system."""
    theme = request.cookies.get(THEME_COOKIE)
    return theme if theme in THEMES else None


def current_account() -> Account | None:
    """Return the account of the signed-in player. None for other visitors."""
    if "account" not in g:
        caller = optional_caller()
        if caller is None or caller.player_id is None:
            g.account = None
        else:
            with db.connection() as conn:
                g.account = accounts.get_account(conn, caller.player_id)
    account: Account | None = g.account
    return account


def _preloads(*modules: Sequence[str]) -> list[str]:
    """Return the URLs of the modules and of all that they import: loaded at once instead of one after the other."""
    return list(dict.fromkeys(url for module in chain(*modules) for url in preloads_of(module)))


@cache
def preloads_of(module: str) -> tuple[str, ...]:
    """Return the URLs of a module and of all modules that it imports."""
    assets = load_assets()
    return tuple(assets.url(path) for path in assets.modules_of(f"js/{module}"))
