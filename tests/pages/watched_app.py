"""The web application, with a script on each page that collects what the page complains about.

Drivers of browsers differ in what they report, and some report nothing. The pages allow scripts of their own origin.
"""

from collections.abc import Iterable
from typing import Any

from flask import Flask, Response

from web.app import create_app as create_waymark

PATH = "/watch.js"
SCRIPT = b"""
const complain = text => {
    sessionStorage.complaints = JSON.stringify([...JSON.parse(sessionStorage.complaints || '[]'), text]);
};
const error = console.error;
console.error = (...words) => (complain(`console: ${words.join(' ')}`), error(...words));
addEventListener('securitypolicyviolation', e => complain(`violation: ${e.violatedDirective} ${e.blockedURI}`));
addEventListener('unhandledrejection', e => complain(`rejection: ${e.reason}`));
addEventListener('error', e => complain(`error: ${e.message ?? e.target.src ?? e.target.href}`), true);
"""


def create_app() -> Flask:
    app = create_waymark()
    wrapped = app.wsgi_app

    def serve(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            # A compressed page has no text to put the script into.
            environ.pop("HTTP_ACCEPT_ENCODING", None)
            return wrapped(environ, start_response)
        start_response("200 OK", [("Content-Type", "text/javascript"), ("Cache-Control", "max-age=600")])
        return [SCRIPT]

    app.wsgi_app = serve  # type: ignore[method-assign]

    @app.after_request
    def watch(response: Response) -> Response:
        if response.mimetype == "text/html":
            response.set_data(response.get_data().replace(b"<head>", f'<head><script src="{PATH}"></script>'.encode()))
        return response

    return app
