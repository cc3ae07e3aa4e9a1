"""Static files: one path per release, compressed, cached for a year."""

import gzip
import re
from typing import Any

import pytest

from shared.images.contrast import contrast_ratio
from web.pages.assets import FOLDER, Assets, load_assets, shrink_css


def test_file_of_this_release_is_cached_for_a_year(client: Any) -> None:
    url = load_assets().url("css/app.css")

    response = client.get(url, headers={"Accept-Encoding": "gzip"})

    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.data) == client.get(url).data
    assert response.content_type == "text/css; charset=utf-8"
    assert "RateLimit-Limit" not in response.headers


@pytest.mark.parametrize(
    "path", ["0000000000000000/css/app.css", "{}/css/none.css", "{}/../app.py", "{}/css/tokens.css"]
)
def test_other_paths_are_404_and_stored_by_no_cache(client: Any, path: str) -> None:
    response = client.get(f"/static/{path.format(load_assets().digest)}")

    assert (response.status_code, response.headers["Cache-Control"]) == (404, "no-store")


def test_digest_covers_paths_and_contents() -> None:
    contents = [{"a.js": b"1"}, {"a.js": b"2"}, {"b.js": b"1"}, {"a.js": b"1", "b.js": b""}]

    assert len({Assets(files).digest for files in contents}) == len(contents)


def test_page_preloads_every_module_that_it_imports() -> None:
    assets = Assets(
        {
            "js/pages/a.js": b"import {x} from '../core/b.js';\nimport '../core/c.js';\nexport {d} from './d.js';",
            "js/core/b.js": b"import {\n  x,\n  y,\n} from './c.js';",
            "js/core/c.js": b"const later = () => import('./later.js');",
            "js/pages/d.js": b"",
        }
    )
    assert assets.modules_of("js/pages/a.js") == ["js/pages/a.js", "js/core/b.js", "js/core/c.js", "js/pages/d.js"]


def test_every_import_names_a_file() -> None:
    assets = load_assets()
    missing = [(path, name) for path, names in assets.imports.items() for name in names if name not in assets.files]
    assert missing == []


def test_only_the_decoder_may_run_webassembly(client: Any) -> None:
    assets = load_assets()
    with_wasm = [
        path
        for path in assets.files
        if "wasm-unsafe-eval" in client.get(assets.url(path)).headers["Content-Security-Policy"]
    ]
    assert with_wasm in ([], ["js/decoder.js"])


def test_static_files_take_little_memory() -> None:
    size = sum(len(asset.body) + len(asset.gzipped or b"") for asset in load_assets().files.values())
    assert size < 3_000_000


def test_only_the_tokens_contain_colors() -> None:
    for file in (FOLDER / "css").rglob("*.css"):
        if file.name != "tokens.css":
            assert re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsla?\(", file.read_text()) == [], file.name


def test_hues_of_stamps_are_seen_on_every_background() -> None:
    """WCAG 2.2, success criterion 1.4.11."""
    tokens = (FOLDER / "css" / "tokens.css").read_text()
    colors = dict(re.findall(r"--([\w-]+): light-dark\((#\w{6}, #\w{6})\)", tokens))
    hues = [colors[f"hue-{number}"] for number in range(12)]
    for theme in (0, 1):
        for background in ("paper", "surface", "sunken"):
            behind = colors[background].split(", ")[theme]
            assert min(contrast_ratio(hue.split(", ")[theme], behind) for hue in hues) >= 3
    assert len(set(hues)) == 12


@pytest.mark.parametrize("path", ["/sign-in", "/nowhere"])
def test_pages_are_compressed_for_browsers_that_take_it(client: Any, path: str) -> None:
    plain = client.get(path, headers={"Accept": "text/html"})
    packed = client.get(path, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.vary
    assert b"<h1>" in gzip.decompress(packed.data)
    assert int(packed.headers["Content-Length"]) == len(packed.data) < len(plain.data) / 2


def test_each_class_of_staff_pages_has_its_rules_in_one_file() -> None:
    """All of these files are one style sheet, so a second file would change the look of other pages."""
    files: dict[str, set[str]] = {}
    for file in sorted((FOLDER / "css").rglob("*.css")):
        for name in re.findall(r"^ {2}\.([\w-]+)(?:,| \{)$", file.read_text(), re.MULTILINE):
            files.setdefault(name, set()).add(file.name)

    assert {name: found for name, found in files.items() if len(found) > 1} == {}


def test_style_sheets_lose_only_comments_and_spaces() -> None:
    css = """
    /* A comment, with "quotes" */
    .a > .b:not(.c, .d)::before {
      content: "a ;  /* b */ , c";
      inline-size: calc(100% - 32px); /* another */
    }

    @media (min-width: 760px) {
      a:hover { color: red }
    }
    """

    assert shrink_css(css).strip() == (
        '.a > .b:not(.c,.d)::before{content: "a ;  /* b */ , c";inline-size: calc(100% - 32px);}'
        "@media (min-width: 760px){a:hover{color: red}}"
    )
