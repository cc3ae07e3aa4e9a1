"""What this project's own source does that could be dangerous, found in its syntax tree. Comments and strings are not
looked at, so nothing is found that does not run."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
RUNNING = ("web", "workers", "shared", "migrations", "script")
"""What serves, and what operators run. Tests and benchmarks are looked at for the rest, not for their SQL."""
LOOKED_AT = (*RUNNING, "bench", "tests")
GENERATED = "quest_pb2"

Sources = Mapping[str, str]
"""The text of files, by their path in the checkout."""


class Finding(NamedTuple):
    """What is wrong, and where. The line itself is reported, because its number changes."""

    what: str
    file: str
    line: str


@cache
def sources(*folders: str) -> Sources:
    """Every file of these folders in Python."""
    paths = [path for folder in folders for path in sorted((CHECKOUT / folder).rglob("*.py"))]
    return {str(path.relative_to(CHECKOUT)): path.read_text() for path in paths if GENERATED not in path.name}


def dangers(files: Sources) -> Iterator[Finding]:
    """Calls and imports that hand control to data, or to a shell."""
    for file, text in files.items():
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if what := _danger(node):
                yield Finding(what, file, lines[node.lineno - 1].strip())  # type: ignore[attr-defined]


UNPICKLING = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
CALLS = {
    "eval": "runs text",
    "exec": "runs text",
    "compile": "runs text",
    "__import__": "runs text",
    "os.system": "a shell",
    "os.popen": "a shell",
    "subprocess.getoutput": "a shell",
    "subprocess.getstatusoutput": "a shell",
    "yaml.load": "objects out of YAML",
    "yaml.unsafe_load": "objects out of YAML",
    "yaml.full_load": "objects out of YAML",
    "np.load": "objects out of arrays",
    "tempfile.mktemp": "a name that another may take",
    "ssl._create_unverified_context": "TLS without verification",
    "Markup": "HTML that is not escaped",
}
SWITCHES = {
    ("shell", True): "a shell",
    ("verify", False): "TLS without verification",
    ("verify_signature", False): "a token without verification",
    ("allow_pickle", True): "pickle",
    ("debug", True): "a debugger",
    ("autoescape", False): "HTML that is not escaped",
}


def _danger(node: ast.AST) -> str | None:
    match node:
        case ast.Import(names=names) if any(name.name.split(".")[0] in UNPICKLING for name in names):
            return "pickle"
        case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNPICKLING:
            return "pickle"
        case ast.Call(func=function) if what := CALLS.get(ast.unparse(function)):
            return what
        case ast.keyword(arg=str(name), value=ast.Constant(value=bool(value))):
            return SWITCHES.get((name, value))
        case ast.Dict(keys=keys, values=values):
            pairs = [
                (str(name.value), bool(given.value))
                for name, given in zip(keys, values, strict=True)
                if isinstance(name, ast.Constant) and isinstance(given, ast.Constant) and isinstance(given.value, bool)
            ]
            return next((SWITCHES[pair] for pair in pairs if pair in SWITCHES), None)
    return None


EXECUTES = {"execute", "executemany", "copy", "stream"}


def built_sql(files: Sources) -> Iterator[Finding]:
    """Whatever goes into the text of a statement and is no constant of the source: it should be a parameter, unless it
    is on the list of reviewed exceptions."""
    project = {file: Module(text) for file, text in files.items()}
    for file, module in project.items():
        for function, call in module.calls():
            if isinstance(call.func, ast.Attribute) and call.func.attr in EXECUTES and call.args:
                for part in module.variable_parts(call.args[0], function, project):
                    yield Finding("built SQL", file, ast.unparse(part))


class Module:
    """A file's tree, its constants, and where its names come from."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self.values = dict(assigned(self.tree.body))
        self.imported: dict[str, tuple[str, str]] = {}
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for name in node.names:
                    self.imported[name.asname or name.name] = (node.module.replace(".", "/"), name.name)

    def calls(self) -> Iterator[tuple[ast.AST, ast.Call]]:
        """Every call, with the function that contains it."""

        def inside(function: ast.AST, node: ast.AST) -> Iterator[tuple[ast.AST, ast.Call]]:
            for child in ast.iter_child_nodes(node):
                within = child if isinstance(child, ast.FunctionDef) else function
                if isinstance(child, ast.Call):
                    yield within, child
                yield from inside(within, child)

        return inside(self.tree, self.tree)

    def variable_parts(self, node: ast.AST, function: ast.AST, project: Mapping[str, "Module"]) -> Iterator[ast.AST]:
        """What of an expression is not one of finitely many texts that the source itself holds."""
        match node:
            case ast.Constant():
                return
            case ast.JoinedStr() | ast.FormattedValue() | ast.BinOp() | ast.Tuple() | ast.List():
                inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
            case ast.IfExp(body=body, orelse=orelse):
                inner = [body, orelse]
            case ast.Call(func=ast.Name(id="text"), args=[text]):  # SQLAlchemy's
                inner = [text]
            case ast.Name(id=name) if (found := self._meaning(name, function, project)) is not None:
                module, inside, inner = found
                for value in inner:
                    yield from module.variable_parts(value, inside, project)
                return
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in self.imported:
                folder, last = self.imported[name]
                source = project.get(f"{folder}/{last}.py")
                if source is None or attribute not in source.values:
                    yield node
                    return
                yield from source.variable_parts(source.values[attribute], source.tree, project)
                return
            case _:
                yield node
                return
        for child in inner:
            yield from self.variable_parts(child, function, project)

    def _meaning(
        self, name: str, function: ast.AST, project: Mapping[str, "Module"]
    ) -> "tuple[Module, ast.AST, list[ast.expr]] | None":
        """Where a name gets its value, and what that may be; None for a parameter, and whatever else is not known."""
        if isinstance(function, ast.FunctionDef):
            arguments = function.args
            if name in {each.arg for each in (*arguments.args, *arguments.kwonlyargs, *arguments.posonlyargs)}:
                return None
            if local := [value for found, value in assigned(ast.walk(function)) if found == name]:
                return self, function, local
        if name in self.values:
            return self, self.tree, [self.values[name]]
        folder, original = self.imported.get(name, ("", ""))
        source = project.get(f"{folder}.py") or project.get(f"{folder}/__init__.py")
        if source is None or original not in source.values:
            return None
        return source, source.tree, [source.values[original]]


def assigned(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                for target, value in zip(targets, values, strict=False):
                    yield ast.unparse(target), value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                yield name, value
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                yield name, value
