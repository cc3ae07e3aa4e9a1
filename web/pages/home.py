"""The front page, the page about this installation, and the page of all components."""

import re

from flask import Flask, Response

from shared.infra import db
from shared.organizations import store as organizations
from shared.version import __version__
from web.http.auth import optional_caller, page_public
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages.assets import load_assets
from web.pages.layout import go_to, render_page


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/", "home.open_home", open_home)
    app.add_url_rule("/about", "home.open_about", open_about)
    app.add_url_rule("/about/components", "home.open_components", open_components)


@page_public
@takes_any_query
def open_home() -> Response:
    """Show what Waymark is. Signed-in players go to their page, staff to their organizations."""
    caller = optional_caller()
    if caller is None or caller.player_id is None:
        with db.connection() as conn:
            is_new = not organizations.exists_any(conn)
        return render_page("home.html", is_new=is_new)
    with db.connection() as conn:
        is_staff = bool(organizations.list_for_player(conn, caller.player_id, limit=1))
    return go_to("/o" if is_staff else "/play")


@page_public
@takes_any_query
def open_about() -> Response:
    """Show version, imprint, licenses and accessibility statement."""
    return render_page("about.html", imprint=current_settings().imprint, version=__version__)


@page_public
def open_components() -> Response:
    """Show every component in every state, for those who change them."""
    sprite = load_assets().files["img/sprite.svg"].body.decode()
    return render_page("components.html", icons=re.findall(r'id="([^"]+)"', sprite))
