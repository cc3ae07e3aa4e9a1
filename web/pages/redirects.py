"""Redirects to addresses that an organization chose, byte for byte."""

from typing import TYPE_CHECKING

from flask import Response
from werkzeug.datastructures import Headers

from shared.infra.urls import to_location

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class Redirect(Response):
    """A 302 to a web URL. Werkzeug would change some characters of its Location, and drop an empty query."""

    def __init__(self, url: str) -> None:
        super().__init__(status=302)
        self.target = to_location(url)

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        headers = super().get_wsgi_headers(environ)
        headers["Location"] = self.target
        return headers
