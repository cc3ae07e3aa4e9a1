"""The player's pages: one shell without personal data, which a service worker keeps. Its data needs a session."""

from typing import Any

from flask import Flask, Response

from web.http.auth import page_public
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages.layout import REVALIDATED, render_page
from web.pages.printed_paths import code_paths

VIEWS = {
    "/play": "home",
    "/play/scan": "scan",
    "/play/result/<nonce>": "result",
    "/play/puzzle/<scan_id>": "puzzle",
    "/play/inventory": "inventory",
    "/play/redeem/<path:item>": "redeem",
    "/play/quests": "quests",
    "/play/history": "history",
}
"""The module of each path."""


def init_app(app: Flask) -> None:
    """Register the pages."""
    for path, view in VIEWS.items():
        app.add_url_rule(path, f"play.{path}", open_shell, defaults={"view": view})


def configuration() -> dict[str, Any]:
    """Return what the player's scripts need to know about this installation."""
    settings = current_settings()
    return {
        "max_accuracy_m": settings.scan_max_accuracy_m,
        "max_age_hours": settings.scan_max_age_hours,
        "code_paths": code_paths(settings),
    }


@page_public
@takes_any_query
def open_shell(view: str, **_: str) -> Response:
    """Return the shell. Its script shows the view of the path, whose modules are loaded beside it."""
    return render_page(
        "play/shell.html",
        # Tokens to redeem arrive as an image in the response of the API.
        kind="preview",
        devices="all",
        cache_control=REVALIDATED,
        modules=("player/app.js",),
        preloaded=(f"player/views/{view}.js",),
        tabs=True,
        config=configuration(),
    )
