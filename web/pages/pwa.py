"""The player's pages as an app: its manifest, and the service worker that shows them without a connection.

With `PWA=false` there is no manifest, and the worker of an earlier visit removes itself.
"""

import json
from functools import cache

from flask import Flask, Response, render_template
from werkzeug.exceptions import NotFound

from web.http.auth import public
from web.http.request_context import takes_any_query
from web.http.settings import current_settings
from web.pages import i18n, printed_paths
from web.pages.assets import Assets, load_assets
from web.pages.headers import WORKERS
from web.pages.module_groups import ADDRESSES

WORKER = "/sw.js"
MANIFEST = "/app.webmanifest"
STARTS_A_VIEW = ("js/player/", "js/offline.js")
APPEARANCE = ("css/app.css", "fonts/atkinson-latin.woff2", "img/mark.svg", "img/sprite.svg")
UNREGISTER = """\
addEventListener('install', () => skipWaiting());
addEventListener('activate', (event) => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name.startsWith('waymark-')) await caches.delete(name);
  await registration.unregister();
})()));
"""


def init_app(app: Flask) -> None:
    """Serve both. Like static files, they have no session, no rate limit and no entry in the OpenAPI document."""
    app.add_url_rule(WORKER, "pwa.get_worker", get_worker)
    app.add_url_rule(MANIFEST, "pwa.get_manifest", get_manifest)


@public
@takes_any_query
def get_worker() -> Response:
    """Return the service worker. It names the release, so browsers notice a new one."""
    settings = current_settings()
    script = _start_script(load_assets(), printed_paths.code_paths(settings)) if settings.pwa else UNREGISTER
    response = Response(script, content_type="text/javascript; charset=utf-8")
    response.headers["Content-Security-Policy"] = WORKERS["sw.js"]
    response.headers["Cache-Control"] = "no-cache"
    return response


@public
@takes_any_query
def get_manifest() -> Response:
    """Return the manifest of the app, in the language of the request."""
    if not current_settings().pwa:
        raise NotFound
    text = render_template("play/app.webmanifest", language=i18n.current_language())
    response = Response(text, content_type="application/manifest+json")
    response.headers["Cache-Control"] = "no-cache"
    response.vary.add("Accept-Language")
    return response


@cache
def _start_script(assets: Assets, prefixes: tuple[str, ...]) -> str:
    release = {
        "base": f"/static/{assets.digest}/",
        "files": [assets.url(path) for path in shell_files(assets)],
        "languages": {name: assets.url(f"i18n/{name}.json") for name in i18n.LANGUAGES if name != i18n.SOURCE},
        "code_paths": prefixes,
    }
    module = assets.url("js/offline.js")
    return f"import {{ start }} from {json.dumps(module)};\nstart({json.dumps(release)});\n"


def shell_files(assets: Assets) -> list[str]:
    """Return what the player's pages need without a connection: all their views, but not the decoder of the camera."""
    views = [path for path in assets.files if path.startswith(STARTS_A_VIEW) and path not in ADDRESSES]
    modules = dict.fromkeys(module for view in views for module in assets.modules_of(view))
    return [*modules, *APPEARANCE]
