"""The page that shows a rotating code on a screen. It needs no login.

Its script asks for the next image. Without scripts, and with `PAGES=false`, the page loads itself again.
"""

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import BaseModel, Field

from shared.codes import screens
from shared.errors import Gone, NotFound
from shared.infra import db
from web.http.auth import page_public
from web.pages.layout import html_response, render_page

api = APIBlueprint("screen_pages", __name__, url_prefix="/screen", abp_tags=[Tag(name="Pages")])


MAX_REFRESH_SECONDS = 30
"""A screen shows at most this long what was changed or revoked meanwhile."""


class ScreenLinkPath(BaseModel):
    """The path of a screen's page."""

    token: str = Field(description="The secret of the link", examples=["x3h0rUWYqLzXb0tMZ7mJQ3kq1v2c4d5e6f7g8h9i0j1"])


@api.get(
    "/<token>",
    responses={
        200: html_response("A page with the image of the current step", "Game code"),
        404: html_response(
            "A page for a screen that is unknown or was revoked, or whose code does not rotate",
            "This screen link was revoked",
        ),
        410: html_response("A page for a screen whose code has expired or was deleted", "Expired"),
    },
)
@page_public
def open_screen(path: ScreenLinkPath) -> Response:
    """Open a screen

    For any client that has the link. The page shows the next image when the step ends, after 30 seconds at most.
    """
    try:
        with db.connection() as conn:
            code = screens.open_screen(conn, path.token)
    except NotFound:
        return render_page("screen_revoked.html", 404)
    except Gone:
        return render_page("gone.html", 410)
    url = f"/screen/{path.token}"
    return render_page(
        "screen.html",
        kind="preview",
        modules=("pages/screen.js",),
        description=code.description,
        image_url=f"{url}/image?format=svg&size=1000",
        state_url=f"{url}/state",
        seconds_left=code.seconds_left,
        refresh_seconds=min(code.seconds_left, MAX_REFRESH_SECONDS),
        rotation_seconds=code.rotation.seconds,
    )
