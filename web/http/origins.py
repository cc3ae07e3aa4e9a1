"""The origins of this installation, as browsers send them."""

from flask import request

from shared.settings import as_origin
from web.http.settings import current_settings


def own_origins() -> set[str]:
    """Return the origin of this request's host, and that of PUBLIC_URL.

    The second is needed behind a proxy that rewrites the Host header.
    """
    return {as_origin(request.host_url), as_origin(current_settings().public_base_url)}
