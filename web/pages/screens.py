"""The page that shows a rotating code on a screen. It needs no login and no script."""

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
            "A page for a screen that is unknown or was revoked, or whose code does not rotate", "Not found"
        ),
        410: html_response("A page for a screen whose code has expired or was deleted", "Expired"),
    },
)
@page_public
def open_screen(path: ScreenLinkPath) -> Response:
    """Open a screen

    For any client that has the link. The page loads itself again when the step ends, after 30 seconds at most.
    """
    try:
        with db.connection() as conn:
            code = screens.open_screen(conn, path.token)
    except NotFound:
        return render_page("not_found.html", 404)
    except Gone:
        return render_page("gone.html", 410)
    image_url = f"/screen/{path.token}/image?format=svg&size=600"
    response = render_page("screen.html", description=code.description, image_url=image_url)
    response.headers["Refresh"] = str(min(code.seconds_left, MAX_REFRESH_SECONDS))
    return response
