"""Browsers that are signed in, as the test client of Flask."""

from typing import Any

from flask import Response

from tests.support.callers import SignedInPlayer
from web.http.session_cookies import set_session_cookie

BROWSER = {"Accept": "text/html"}
SAME = {"Sec-Fetch-Site": "same-origin"}


def browser_of(app: Any, player: SignedInPlayer) -> Any:
    """Return a client with the session cookie of a player."""
    with app.test_request_context():
        response = Response()
        set_session_cookie(response, player.id, player.session_id)
    client = app.test_client()
    for cookie in response.headers.getlist("Set-Cookie"):
        client.set_cookie(*cookie.split(";")[0].split("=", 1))
    return client
