"""Compress responses that are rendered for each request. Static files are compressed once, at start."""

import gzip

from flask import Response, request

LEVEL = 5
"""A page of 50 kB takes about a millisecond."""


def compress(response: Response) -> None:
    """Compress a response, if its client takes that.

    The length of a compressed page can reveal a secret in it to a client that chooses a text beside it (BREACH). Pages
    and images contain no secret of the session: its cookie is HttpOnly, and writes need no token of the page.
    """
    response.vary.add("Accept-Encoding")
    if request.accept_encodings["gzip"]:
        response.set_data(gzip.compress(response.get_data(), LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
