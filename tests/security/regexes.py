"""Every regular expression of the service, found by walking its source and its models, and what would choke one."""

import ast
import importlib
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from types import FrameType, ModuleType
from typing import Annotated, Any

from pydantic import BaseModel, StringConstraints, TypeAdapter, ValidationError

from shared.settings import Settings
from tests.security.attack import Scene
from tests.security.source import assigned, sources

SERVING = ("web", "workers", "shared")
SECONDS = 0.5
"""Of processor time, for one pattern and one text of 100 kB. A good pattern takes a hundredth of that."""
SEARCHING = {"search", "sub", "subn", "split", "findall", "finditer"}
UNITS = ("a", "A", "0", "-", "_", ".", " ", "\n", "/", "@", ":", "a.", "a@", "a-", "9.", "=,", "://", "0-,")
BAITS = [unit * (100_000 // len(unit)) + "\x00" for unit in UNITS]
BAITS += [head + unit * 50_000 for head in ("http://", "a@", "bytes=", "#") for unit in ("a", "0", "a.")]

Match = Callable[[str], object]


def bait_taken(_scene: Scene) -> bool:
    """Whether any pattern takes longer than the whole service should."""
    for match, bait in product(matches(), BAITS):
        try:
            with processor_time(SECONDS):
                match(bait)
        except TimeoutError:
            return True
        except ValidationError:
            pass
    return False


def matches() -> Iterator[Match]:
    """Every pattern as it is used: by `re`, which goes back and forth, or by the engine of pydantic, which does not."""
    for pattern, searches in set(of_source()):
        compiled = re.compile(pattern)
        yield compiled.search if searches else compiled.fullmatch
    for pattern in set(of_models()):
        yield TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)]).validate_python


@contextmanager
def processor_time(seconds: float) -> Iterator[None]:
    """Raises TimeoutError in a computation that takes longer; `re` looks for signals while it goes back and forth."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def of_source() -> Iterator[tuple[str, bool]]:
    """What is given to `re`, by a literal or a name of its module."""
    for file, text in sources(*SERVING).items():
        tree = ast.parse(text)
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        methods = [call.func for call in calls if isinstance(call.func, ast.Attribute)]
        searched = {ast.unparse(method.value) for method in methods if method.attr in SEARCHING}
        names = {ast.unparse(value): name for name, value in assigned(ast.walk(tree))}
        for call in calls:
            match call.func:
                case ast.Attribute(value=ast.Name(id="re"), attr=function) if call.args and function != "escape":
                    yield _value(call.args[0], file), function in SEARCHING or names.get(ast.unparse(call)) in searched


def _value(node: ast.expr, file: str) -> str:
    match node:
        case ast.Constant(value=str(pattern)):
            return pattern
        case ast.Constant(value=bytes(pattern)):
            return pattern.decode()
        case ast.Name(id=name):
            return str(getattr(_module(file), name))
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=key)):
            return str(getattr(_module(file), name)[key])
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return str(getattr(getattr(_module(file), owner), name))
    raise AssertionError(f"{file}: cannot resolve {ast.unparse(node)}; assign it to a constant")


def _module(file: str) -> ModuleType:
    return importlib.import_module(file.removesuffix(".py").replace("/", ".").removesuffix(".__init__"))


def of_models() -> Iterator[str]:
    """What bodies and queries say of their texts."""
    pending: list[type[BaseModel]] = [BaseModel]
    while pending:
        model = pending.pop()
        pending += model.__subclasses__()
        if model.__module__.split(".")[0] in SERVING and model is not Settings:
            yield from _patterns_in([field.metadata for field in model.model_fields.values()])


def _patterns_in(found: Any) -> Iterator[str]:
    if isinstance(found, list | tuple):
        for each in found:
            yield from _patterns_in(each)
    elif isinstance(pattern := getattr(found, "pattern", None), str):
        yield pattern
