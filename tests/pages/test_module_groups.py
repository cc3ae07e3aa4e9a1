"""Modules that are served as one file keep their meaning, or the server does not start."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from web.pages.assets import FOLDER, load_assets
from web.pages.headers import WORKERS
from web.pages.module_groups import ADDRESSES, GROUPS, CannotGroup, group_modules, static_imports

SOURCES = {
    "js/core/a.js": """\
/** Documentation. */
import { b, bee } from './b.js';
import { get as read, later } from './lone.js';
export { later } from './lone.js';
import htm from '../vendor/htm.js'; // small

// A comment.
export const a = () => b() + read(htm); // kept
export { bee };
""",
    "js/core/b.js": """\
import './effects.js';
const here = new URL('../img/x.svg', import.meta.url);
/** @type {any} */ (globalThis).named = here;
export function b() {
  return import('./lone.js');
}
export class bee {}
""",
    "js/core/lone.js": "import { c } from '../pages/c.js';\nexport const get = c;\nexport const later = 1;\n",
    "js/core/effects.js": "console.log(1);\n",
    "js/pages/c.js": "export const c = 1;\n",
    "js/pages/page.js": "import { a } from '../core/a.js';\nimport { c } from './c.js';\na(c);\n",
}
GROUPED = {"js/core.js": ("js/core/a.js", "js/core/b.js"), "js/pages/page.js": ("js/pages/page.js",)}


def grouped(changes: Mapping[str, str] = {}, groups: Mapping[str, Sequence[str]] = GROUPED) -> dict[str, str]:
    return group_modules({**SOURCES, **changes}, groups)


def test_group_is_one_file_in_the_order_of_its_imports() -> None:
    assert grouped()["js/core.js"] == (
        "import './core/effects.js';\n"
        "import { get as read, later } from './core/lone.js';\n"
        "import { default as htm } from './vendor/htm.js';\n"
        "export { later } from './core/lone.js';\n"
        "const here = new URL('../img/x.svg', new URL('./core/b.js', import.meta.url).href);\n"
        "/** @type {any} */ (globalThis).named = here;\n"
        "export function b() {\n"
        "  return import('./core/lone.js');\n"
        "}\n"
        "export class bee {}\n"
        "export const a = () => b() + read(htm); // kept\n"
        "export { bee };\n"
    )


def test_grouped_modules_keep_their_addresses() -> None:
    served = grouped()

    assert served["js/core/a.js"] == "export { a, bee, later } from '../core.js';\n"
    assert served["js/core/b.js"] == "export { b, bee } from '../core.js';\n"
    assert served["js/pages/page.js"] == "import { a } from '../core.js';\nimport { c } from './c.js';\na(c);\n"
    assert served["js/pages/c.js"] == SOURCES["js/pages/c.js"], "a module that no group names stays as it is"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"js/core/b.js": "export class b {}\nexport class bee {}\nconst a = 1;"},
            "a means js/core/b.js and js/core/a.js",
        ),
        (
            {"js/core/b.js": "const { x: read } = {};\nexport class b {}\nexport class bee {}"},
            "read means js/core/b.js and get of",
        ),
        ({"js/core/b.js": "export const other = 1;"}, "imports b of js/core/b.js as b"),
        ({"js/core/a.js": "import { b as c } from './b.js';"}, "imports b of js/core/b.js as c"),
        ({"js/core/a.js": "import * as all from './b.js';"}, "takes all names of js/core/b.js"),
        ({"js/core/a.js": "export * from './lone.js';"}, "takes all names of js/core/lone.js"),
        ({"js/core/b.js": SOURCES["js/core/b.js"] + "import { a } from './a.js';"}, "import each other"),
        ({"js/core/lone.js": SOURCES["js/core/lone.js"] + "import { a } from './a.js';"}, "import each other"),
    ],
    ids=["declared", "imported", "missing", "alias", "namespace", "all", "cycle", "cycle of files"],
)
def test_group_that_would_change_its_meaning_is_refused(changes: dict[str, str], words: str) -> None:
    with pytest.raises(CannotGroup, match=re.escape(words)):
        grouped(changes)


def test_workers_load_only_what_they_import() -> None:
    """A worker has no document, which modules of a group may use at once."""
    assets = load_assets()
    workers = [path.replace("sw.js", "js/offline.js") for path in WORKERS]
    imported = list(workers)
    for path in imported:
        imported += [name for name in static_imports(path, (FOLDER / path).read_text()) if name not in imported]

    loaded = {file for worker in workers for file in assets.modules_of(worker)}
    assert {path for file in loaded for path in GROUPS.get(file, (file,))} <= set(imported)


def test_addresses_refer_to_files_that_pages_load() -> None:
    assets = load_assets()

    assert {tuple(assets.imports[address]) for address in ADDRESSES} == {(file,) for file in GROUPS}
    loaded = {module for path in assets.imports.keys() - ADDRESSES for module in assets.imports[path]}
    assert loaded.isdisjoint(ADDRESSES)


@pytest.mark.system
@pytest.mark.xdist_group("browser")
def test_names_of_a_group_hide_nothing_of_the_browser(phone: Any) -> None:
    """A module could mean the browser's `open`, and get the one of another module."""
    for file in GROUPS:
        names = re.findall(
            r"^(?:export )?(?:async )?(?:function|class|const|let) ([\w$]+)",
            load_assets().files[file].body.decode(),
            re.MULTILINE,
        )
        assert len(names) >= 5
        assert phone.evaluate("names => names.filter(name => name in globalThis)", names) == []
