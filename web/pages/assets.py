"""The static files of the pages: read once, served from memory below a path that names their digest.

The digest covers all files, so a module can import `./api.js` without an import map, and browsers cache every file
for a year. A new release has another path.
"""

import gzip
import json
import mimetypes
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound

from web.http.auth import public
from web.pages import headers, i18n
from web.pages.module_groups import group_modules, static_imports

FOLDER = Path(__file__).parent / "static"
STYLES = ("css/tokens.css", "css/base.css", "css/components.css", "css/parts.css")
STAFF_STYLES = tuple(f"css/staff/{file.name}" for file in sorted((FOLDER / "css" / "staff").glob("*.css")))
BUNDLES: Mapping[str, tuple[str, ...]] = {
    "css/app.css": (*STYLES, "css/player.css"),
    "css/staff.css": (*STYLES, *STAFF_STYLES),
    "vendor/leaflet/leaflet.css": ("vendor/leaflet/leaflet.css",),
}
"""Style sheets that are served as one, so a page needs one of them."""
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}
COMPRESSED = {".css", ".js", ".json", ".svg", ".wasm"}
COLOR = re.compile(r"^ *--([\w-]+): light-dark\((#\w+), (#\w+)\)", re.MULTILINE)
CSS_SPACE = re.compile(
    r"""(?P<string>"[^"]*"|'[^']*')|/\*.*?\*/|\s*(?P<mark>[{};,])(?:\s|/\*.*?\*/)*|(?P<space>\s)\s*""", re.DOTALL
)
DIGEST_CHARACTERS = 16


@dataclass(frozen=True)
class Asset:
    """A static file."""

    body: bytes
    content_type: str
    gzipped: bytes | None
    """None if compression does not make it smaller."""


class Assets:
    """All static files, by path below their directory."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self.files = {path: _asset(path, body) for path, body in contents.items()}
        digest = sha256()
        for path, body in sorted(contents.items()):
            digest.update(f"{path}\0{len(body)}\0".encode() + body)
        self.digest = digest.hexdigest()[:DIGEST_CHARACTERS]

    def url(self, path: str) -> str:
        """Return the URL path of a file. Raise KeyError for one that does not exist."""
        if path not in self.files:
            raise KeyError(path)
        return f"/static/{self.digest}/{path}"

    def modules_of(self, path: str) -> list[str]:
        """Return a module and all modules that it imports, directly or not: what a page preloads."""
        found = [path]
        for module in found:
            found += [name for name in self.imports.get(module, ()) if name not in found]
        return found

    @cached_property
    def imports(self) -> dict[str, list[str]]:
        """Return the modules that each module imports. Dynamic imports are not among them."""
        return {
            path: static_imports(path, asset.body.decode())
            for path, asset in self.files.items()
            if path.startswith("js/")
        }


@cache
def load_assets() -> Assets:
    """Return the static files of this release. Read at startup, and then kept."""
    return Assets(dict(_contents()))


@cache
def color(token: str, scheme: Literal["light", "dark"]) -> str:
    """Return a color of the tokens, for what no style sheet reaches."""
    tokens = (FOLDER / "css" / "tokens.css").read_text()
    light, dark = {name: (light, dark) for name, light, dark in COLOR.findall(tokens)}[token]
    return str(light if scheme == "light" else dark)


def shrink_css(text: str) -> str:
    """Return a style sheet without comments and without spaces that separate nothing. Strings stay as they are."""
    return CSS_SPACE.sub(lambda found: found["string"] or found["mark"] or (" " if found["space"] else ""), text)


def _contents() -> Iterator[tuple[str, bytes]]:
    bundled = {part for parts in BUNDLES.values() for part in parts}
    modules = {}
    for file in sorted(FOLDER.rglob("*")):
        path = file.relative_to(FOLDER).as_posix()
        if path.startswith("js/") and file.is_file():
            modules[path] = file.read_text()
        elif file.suffix == ".css" and path not in bundled:
            yield path, shrink_css(file.read_text()).encode()
        elif file.is_file() and path not in bundled:
            yield path, file.read_bytes()
    for path, text in group_modules(modules).items():
        yield path, text.encode()
    for path, parts in BUNDLES.items():
        yield path, shrink_css("\n".join((FOLDER / part).read_text() for part in parts)).encode()
    for language in i18n.LANGUAGES:
        catalog = json.dumps(i18n.messages(language), ensure_ascii=False, separators=(",", ":"))
        yield f"i18n/{language}.json", catalog.encode()


def _asset(path: str, body: bytes) -> Asset:
    suffix = Path(path).suffix
    content_type = CONTENT_TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    gzipped = gzip.compress(body, 9, mtime=0) if suffix in COMPRESSED else None
    return Asset(body, content_type, gzipped if gzipped is not None and len(gzipped) < len(body) else None)


def init_app(app: Flask) -> None:
    """Read and serve the files. They have no session, no rate limit and no entry in the OpenAPI document."""
    load_assets()
    app.add_url_rule("/static/<digest>/<path:name>", "assets.get_asset", get_asset)


@public
def get_asset(digest: str, name: str) -> Response:
    """Return a static file of this release. 404 for another digest, so that no cache keeps a wrong file."""
    assets = load_assets()
    asset = assets.files.get(name) if digest == assets.digest else None
    if asset is None:
        raise NotFound
    response = Response(asset.body, content_type=asset.content_type)
    if asset.gzipped is not None:
        response.vary.add("Accept-Encoding")
        if request.accept_encodings["gzip"]:
            response.data = asset.gzipped
            response.headers["Content-Encoding"] = "gzip"
    response.headers.update(headers.of_asset(name))
    return response
