"""Printed addresses as links arrive: in another letter case."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from shared.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIXES = ("/s", "/b")


def code_paths(settings: Settings) -> tuple[str, ...]:
    """Return the paths before the text of a printed code, for the scripts of the pages."""
    return (PREFIXES[0], *settings.extra_code_path_prefixes)


def init_app(app: Flask, extra_prefixes: tuple[str, ...]) -> None:
    """Open printed addresses in any letter case of their first part."""
    prefixes = PREFIXES + extra_prefixes
    app.wsgi_app = _with_prefix_as_registered(app.wsgi_app, prefixes)  # type: ignore[assignment,method-assign]


def _with_prefix_as_registered(app: "WSGIApplication", prefixes: tuple[str, ...]) -> "WSGIApplication":
    """Write the prefix of a printed address in the letter case of its route. The code text stays: its case matters."""

    def run(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for prefix in prefixes:
            if path[: len(prefix) + 1].lower() == f"{prefix}/".lower():
                environ["PATH_INFO"] = prefix + path[len(prefix) :]
                break
        return app(environ, start_response)

    return run
