"""JavaScript modules that are served as one file: a page then needs fewer requests, and there is still no build step.

A module that no group names is served as it is, so a new module needs no entry here. Add it to a group when the limits
of `tests/pages/test_every_page.py` ask for it. All modules of a group run together, so group those that the same pages
need. Modules that a worker imports are grouped only with each other: a worker has no document.

A grouped module keeps its address, which exports its names from the file of its group. The file contains the modules
without their comments, in the order of their imports. Their names share one scope, so each may be declared once.
"""

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

GROUPS: Mapping[str, tuple[str, ...]] = {
    "js/core.js": (
        "js/core/i18n.js",
        "js/core/icon.js",
        "js/core/policy.js",
        "js/core/api.js",
        "js/core/form.js",
        "js/core/passwords.js",
        "js/core/time.js",
        "js/core/toast.js",
    ),
    "js/staff.js": (
        "js/staff/copy.js",
        "js/staff/dialogs.js",
        "js/staff/fragment.js",
        "js/staff/keys.js",
        "js/staff/rows.js",
        "js/staff/signed-out.js",
    ),
    "js/map.js": (
        "js/land.js",
        "js/map-ground.js",
        "js/map-paint.js",
        "js/map-parts.js",
        "js/map.js",
    ),
    "js/staff/code-words.js": (
        "js/staff/editor/durations.js",
        "js/staff/editor/sentence.js",
    ),
    "js/pages/code-editor.js": (
        "js/pages/code-editor.js",
        "js/staff/editor/fields.js",
        "js/staff/editor/location.js",
        "js/staff/editor/puzzle.js",
        "js/staff/editor/tag-field.js",
    ),
    "js/staff/listing.js": (
        "js/staff/reasons.js",
        "js/staff/tags.js",
    ),
    "js/live.js": (
        "js/live-socket.js",
        "js/live.js",
    ),
    "js/feed.js": (
        "js/feed/counts.js",
        "js/feed/list.js",
        "js/feed/lookups.js",
        "js/feed/map.js",
        "js/feed/rows.js",
        "js/feed/wall.js",
    ),
    "js/player/outbox.js": (
        "js/player/database.js",
        "js/player/outbox.js",
    ),
    "js/player/sending.js": (
        "js/player/code-text.js",
        "js/player/flow.js",
        "js/player/locate.js",
        "js/player/session.js",
        "js/player/updates.js",
    ),
    "js/player/check-in.js": (
        "js/player/check-in.js",
        "js/player/result-here.js",
    ),
    "js/player/drawing.js": (
        "js/player/contour.js",
        "js/player/hash.js",
        "js/player/install.js",
        "js/player/parts.js",
    ),
    "js/player/loading.js": (
        "js/player/days.js",
        "js/player/snapshots.js",
        "js/player/stamp.js",
    ),
    "js/player/viewfinder.js": (
        "js/player/camera-help.js",
        "js/player/camera.js",
        "js/player/detector.js",
        "js/player/viewfinder.js",
    ),
    "js/player/views/scan.js": (
        "js/player/found-code.js",
        "js/player/views/scan.js",
    ),
}
"""By the path of the file that contains them, which can be the path of one of them."""
ADDRESSES = frozenset(path for file, paths in GROUPS.items() for path in paths if path != file)
"""What only refers to the file of a group. Pages never load it."""

LINK = re.compile(
    r"""^(import|export)\s*(?:(\{[^}]*\}|[\w$*\s,]+(?:\{[^}]*\})?)\s*\bfrom\s*)?(['"])(\.[^'"]+)\3;?[ \t]*(?://.*)?$""",
    re.MULTILINE,
)
LATER = re.compile(r"""\bimport\((['"])(\.[^'"]+)\1\)""")
COMMENT = re.compile(r"^[ \t]*/\*\*(?:(?!\*/).)*\*/[ \t]*\n|^[ \t]*//[^\n]*\n", re.MULTILINE | re.DOTALL)
DECLARATION = re.compile(
    r"^(export\s+)?(?:(?:async\s+)?function\b\s*\*?|class\b|const\b|let\b|var\b)\s*([\w$]+|\{[^}]*\}|\[[^\]]*\])",
    re.MULTILINE,
)
EXPORT = re.compile(r"^export\s*(\{[^}]*\});?[ \t]*$", re.MULTILINE)
NAME = re.compile(r"([\w$]+|\*)(?:\s+as\s+([\w$]+))?")


class CannotGroup(ValueError):
    """These modules cannot be served as one file."""


@dataclass(frozen=True)
class Link:
    """A static import, or an export of the names of another module."""

    target: str
    names: Mapping[str, str]
    """By the name here, the name there. `default` is the name of a default export."""
    is_export: bool


@dataclass(frozen=True)
class Module:
    """A module of a group."""

    path: str
    text: str
    """Without links. Relative paths start at the file of the group."""
    links: Sequence[Link]
    declared: frozenset[str]
    exported: frozenset[str]


def group_modules(sources: Mapping[str, str], groups: Mapping[str, Sequence[str]] = GROUPS) -> dict[str, str]:
    """Return the files to serve for these modules, by path. Raise CannotGroup with the module and the reason."""
    file_of = {path: file for file, paths in groups.items() for path in paths}
    texts = {path: COMMENT.sub("", text) for path, text in sources.items()}
    served = {path: _relinked(path, text, file_of) for path, text in texts.items() if path not in file_of}
    for file, paths in groups.items():
        modules = {path: _parsed(path, texts[path], file) for path in paths}
        for module in modules.values():
            names = {name: name for name in sorted(module.exported)}
            served[module.path] = _statement("export", names, _relative(file, module.path))
        served[file] = _together(file, modules, file_of)
    _dependencies_first({path: static_imports(path, text) for path, text in served.items()})
    return served


def static_imports(path: str, text: str) -> list[str]:
    """Return the paths of the modules that a module imports, without those that it imports later."""
    return list(dict.fromkeys(_resolved(target, path) for _, _, _, target in LINK.findall(text)))


def _together(file: str, modules: Mapping[str, Module], file_of: Mapping[str, str]) -> str:
    """Return the file of a group: its imports, its modules, and the names of other files that it exports."""
    links = {path: [link.target for link in module.links if link.target in modules] for path, module in modules.items()}
    ordered = [modules[path] for path in _dependencies_first(links)]
    meanings: dict[str, str] = {}
    imports: dict[str, dict[str, str]] = {}
    exports: dict[str, dict[str, str]] = {}
    for module in ordered:
        for name in sorted(module.declared):
            _set_meaning(meanings, file, name, module.path)
        for link in module.links:
            if link.target in modules:
                _check_names(module, link, modules[link.target])
                continue
            target = file_of.get(link.target, link.target)
            for here, there in link.names.items():
                _set_meaning(meanings, file, here, f"{there} of {target}")
            imports.setdefault(target, {}).update(link.names)
            if link.is_export:
                exports.setdefault(target, {}).update(link.names)
    return "".join(
        [
            *(_statement("import", names, _relative(target, file)) for target, names in imports.items()),
            *(_statement("export", names, _relative(target, file)) for target, names in exports.items()),
            *(module.text for module in ordered),
        ]
    )


def _set_meaning(meanings: dict[str, str], file: str, name: str, meaning: str) -> None:
    if meanings.setdefault(name, meaning) != meaning:
        raise CannotGroup(f"In {file}, {name} means {meanings[name]} and {meaning}. Rename one.")


def _check_names(module: Module, link: Link, target: Module) -> None:
    for here, there in link.names.items():
        if here != there or there not in target.exported:
            raise CannotGroup(
                f"{module.path} imports {there} of {target.path} as {here}. "
                "Modules of a group import each other's exports by their own names."
            )


def _dependencies_first(links: Mapping[str, Sequence[str]]) -> list[str]:
    try:
        return list(TopologicalSorter(links).static_order())
    except CycleError as error:
        raise CannotGroup(f"These import each other: {' → '.join(error.args[1])}") from error


def _parsed(path: str, text: str, file: str) -> Module:
    """Return a module as the file of its group contains it."""
    links = [
        Link(_resolved(target, path), _names(clause), is_export=word == "export")
        for word, clause, _, target in LINK.findall(text)
    ]
    for link in links:
        if "*" in link.names.values():
            raise CannotGroup(f"{path} takes all names of {link.target}. Modules of a group list the names.")
    text = LATER.sub(lambda found: f"import('{_relative(_resolved(found[2], path), file)}')", LINK.sub("", text))
    if posixpath.dirname(path) != posixpath.dirname(file):
        text = text.replace("import.meta.url", f"new URL('{_relative(path, file)}', import.meta.url).href")
    declared, exported = set[str](), set[str]()
    for is_exported, pattern in DECLARATION.findall(text):
        # A pattern declares the last name of each part: `{ a, b: c = 1, ...d }` declares a, c and d.
        names = [
            NAME.findall(part.split("=")[0])[-1][0] for part in pattern.strip("{}[] \n").split(",") if part.strip()
        ]
        declared.update(names)
        exported.update(names if is_exported else ())
    for clause in EXPORT.findall(text):
        exported.update(here for here, there in _names(clause).items() if here == there)
    for link in links:
        exported.update(link.names if link.is_export else ())
    return Module(path, text.strip() + "\n", links, frozenset(declared), frozenset(exported))


def _relinked(path: str, text: str, file_of: Mapping[str, str]) -> str:
    """Return a module of no group. It imports the files of groups instead of their modules."""

    def relink(found: re.Match[str]) -> str:
        target = _resolved(found[4], path)
        return found[0].replace(found[4], _relative(file_of[target], path)) if target in file_of else found[0]

    return LINK.sub(relink, text)


def _names(clause: str) -> dict[str, str]:
    """Return the names of `a, { b, c as d }` or `* as e`: by the name here, the name there."""
    default, _, braced = clause.partition("{")
    names = {here or there: "*" if there == "*" else "default" for there, here in NAME.findall(default)}
    return names | {here or there: there for there, here in NAME.findall(braced)}


def _statement(word: str, names: Mapping[str, str], target: str) -> str:
    """Return an import or export of these names. Without names, it only runs the module."""
    clause = ", ".join(here if here == there else f"{there} as {here}" for here, there in names.items())
    return f"{word} {{ {clause} }} from '{target}';\n" if names else f"import '{target}';\n"


def _resolved(relative: str, path: str) -> str:
    """Return the path that a module names by a relative path."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), relative))


def _relative(path: str, module: str) -> str:
    """Return the relative path by which a module names another one."""
    relative = posixpath.relpath(path, posixpath.dirname(module))
    return relative if relative.startswith(".") else f"./{relative}"
