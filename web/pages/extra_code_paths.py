"""Paths of an older service on printed codes, from the setting EXTRA_CODE_PATHS."""

from flask import Flask, Response
from werkzeug.exceptions import HTTPException, NotFound

from shared.settings import SettingsError
from web.http.auth import page_public
from web.http.request_context import takes_any_query
from web.pages import organizations, visits

SAMPLE = "spy123"


def init_app(app: Flask, templates: tuple[str, ...]) -> None:
    """Open these paths like /s/{code} and /b/{slug}. Raise SettingsError for a path that Waymark itself uses."""
    for template in templates:
        prefix, _, placeholder = template.rpartition("/")
        if _is_used(app, f"{prefix}/{SAMPLE}"):
            raise SettingsError(f"EXTRA_CODE_PATHS must not contain {template}: Waymark itself uses this path")
        view = _open_slug if placeholder == "{slug}" else _open_code
        app.add_url_rule(f"{prefix}/<text>", f"extra_code_paths:{prefix}", view, strict_slashes=False)


def _is_used(app: Flask, path: str) -> bool:
    try:
        app.url_map.bind("localhost").match(path, "GET")
    except NotFound:
        return False
    except HTTPException:
        # Another method, a redirect or a WebSocket.
        return True
    return True


@page_public
@takes_any_query
def _open_code(text: str) -> Response:
    response: Response = visits.open_code(visits.CodeTextPath(code=text))
    return response


@page_public
@takes_any_query
def _open_slug(text: str) -> Response:
    """Open the organization with this slug, else the code with this text."""
    response: Response = organizations.open_organization(organizations.SlugPath(slug=text))
    return response if response.status_code != NotFound.code else _open_code(text)
