"""Sign in, create an account, the account itself, and continuing on another device."""

import re
from datetime import UTC, datetime

from flask import Flask, Response, request

from shared.accounts import sessions, store
from shared.analytics.calendar import zone_names
from shared.errors import CredentialsRevoked
from shared.infra import db
from web.http.auth import current_caller, page_public, page_requires_login
from web.http.request_context import takes_any_query
from web.pages.layout import current_account, go_to, render_page

MAX_DEVICES = 200
KEYS_COOKIE = "waymark_keys"
"""`off` turns shortcuts of single letters off (WCAG 2.2, 2.1.4)."""
OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x7e]*")


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.add_url_rule("/sign-in", "accounts_pages.open_sign_in", open_sign_in)
    app.add_url_rule("/create-account", "accounts_pages.open_create_account", open_create_account)
    app.add_url_rule("/account", "accounts_pages.open_account", open_account)
    app.add_url_rule("/continue", "accounts_pages.open_continue", open_continue)


def next_path(path: str | None) -> str:
    """Return where to go after signing in: a path of this site, else the front page."""
    return path if path is not None and OWN_PATH.fullmatch(path) else "/"


@page_public
@takes_any_query
def open_sign_in() -> Response:
    """Show the form, or go on if the visitor has an account and is signed in."""
    following = next_path(request.args.get("next"))
    account = current_account()
    if account is not None and not account.is_guest:
        return go_to(following)
    return render_page("accounts/sign_in.html", modules=("pages/sign-in.js",), next_path=following)


@page_public
@takes_any_query
def open_create_account() -> Response:
    """Show the form. A guest keeps what they collected."""
    following = next_path(request.args.get("next"))
    account = current_account()
    if account is not None and not account.is_guest:
        return go_to(following)
    return render_page(
        "accounts/create_account.html",
        modules=("pages/create-account.js",),
        next_path=following,
        is_guest=account is not None,
    )


@page_requires_login
def open_account() -> Response:
    """Show the profile, the devices, and what can be done with the account."""
    player_id, session_id = current_caller().session
    with db.connection() as conn:
        profile = store.get_profile(conn, player_id)
        active = sessions.list_page(conn, player_id, limit=MAX_DEVICES)
    if profile is None:
        raise CredentialsRevoked
    return render_page(
        "accounts/account.html",
        kind="preview",
        modules=("pages/account.js",),
        profile=profile,
        sessions=active,
        current_session=session_id,
        this_hour=datetime.now(UTC).replace(minute=0, second=0, microsecond=0),
        zones=sorted(zone_names()),
        single_keys=request.cookies.get(KEYS_COOKIE) != "off",
    )


@page_public
@takes_any_query
def open_continue() -> Response:
    """Show the page that accepts a session of another device. The secret is in the fragment of its URL."""
    return render_page("accounts/continue.html", modules=("pages/continue.js",))
