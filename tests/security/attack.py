"""What an attack is, the scene that it plays on, and how exactly one guard is taken out to show that it was needed."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any
from unittest.mock import patch
from uuid import UUID

from flask import Flask
from pydantic import BaseModel

from shared.infra.db import Conn
from tests.support.callers import SignedInPlayer, Staff
from tests.support.factories import code_text, make_code


@dataclass(frozen=True)
class Scene:
    """Two organizations with everything that they may have. The attacker owns the second, and knows every id of the
    first."""

    app: Flask
    client: Any
    conn: Conn
    victim: Staff
    attacker: Staff

    def ask(self, method: str, path: str, by: SignedInPlayer | None = None, json: Any = None, **headers: str) -> Any:
        """An answer; headers are named with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(path, method=method, json=json, headers=(by.headers if by else {}) | named)

    def lets(self, method: str, path: str, by: SignedInPlayer | None = None, json: Any = None, **headers: str) -> bool:
        """Whether the request is answered as if all were well."""
        return bool(self.ask(method, path, by, json, **headers).status_code < 400)

    def their_code(self, **fields: Any) -> UUID:
        """A code of the first organization."""
        return make_code(self.conn, self.victim.org_id, **fields)

    def own_code(self, **fields: Any) -> UUID:
        """A code of the attacker's own organization."""
        return make_code(self.conn, self.attacker.org_id, **fields)

    def text_of(self, code: UUID) -> str:
        return code_text(self.conn, code)


Attempt = Callable[[Scene], bool]
Without = Callable[[Scene], AbstractContextManager[object]]


@dataclass(frozen=True)
class Attack:
    """A name, an attempt that returns True if the attacker succeeds, and the removal of the guard."""

    name: str
    attempt: Attempt
    without_guard: Without


def without(function: Callable[..., Any], guard: str, instead: str, *more: tuple[str, str]) -> Without:
    """A mutation: compile the function with `instead` in place of the guard's source text. More guards likewise."""

    @contextmanager
    def mutated(_scene: Scene) -> Iterator[None]:
        original = inspect.unwrap(function)
        assert isinstance(original, FunctionType)
        source = textwrap.dedent(inspect.getsource(original))
        for old, new in ((guard, instead), *more):
            assert source.count(old) == 1, f"{original.__qualname__} no longer says {old!r}, once"
            source = source.replace(old, new)
        tree = ast.parse(source)
        tree.body[0].decorator_list = []  # type: ignore[attr-defined]
        module = compile(tree, inspect.getfile(original), "exec")
        kept = original.__code__
        original.__code__ = next(part for part in module.co_consts if isinstance(part, CodeType))
        try:
            yield
        finally:
            original.__code__ = kept

    return mutated


def taking_any_field(model: type[BaseModel]) -> Without:
    """A body that keeps fields it does not know, as many frameworks have it."""
    return _rebuilt(model, lambda: setattr(model, "model_config", {**model.model_config, "extra": "allow"}))


def taking_any_text(model: type[BaseModel], field: str) -> Without:
    """A body whose field may hold whatever its type allows."""

    def change() -> None:
        model.model_fields[field].metadata = []
        model.model_fields[field].annotation = str

    return _rebuilt(model, change)


def _rebuilt(model: type[BaseModel], change: Callable[[], None]) -> Without:
    @contextmanager
    def lenient(_scene: Scene) -> Iterator[None]:
        config = model.model_config
        fields = {name: (field.annotation, field.metadata) for name, field in model.model_fields.items()}
        change()
        model.model_rebuild(force=True)
        try:
            yield
        finally:
            model.model_config = config
            for name, field in model.model_fields.items():
                field.annotation, field.metadata = fields[name]
            model.model_rebuild(force=True)

    return lenient


def without_check(table: str, constraint: str) -> Without:
    """Drop a constraint of a table. The table is emptied before the constraint is added again."""

    @contextmanager
    def dropped(scene: Scene) -> Iterator[None]:
        conn = scene.conn
        found = conn.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", (constraint,))
        ((definition,),) = found.fetchall()
        conn.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
        try:
            yield
        finally:
            conn.execute(f"TRUNCATE {table} CASCADE")
            conn.execute(f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition}")

    return dropped


def replaced(where: object, name: str, value: object) -> Without:
    """Something in a module or a class, replaced by what guards nothing."""
    return lambda _scene: patch.object(where, name, value)


def all_of(*guards: Without) -> Without:
    """Several guards that stand behind each other."""

    @contextmanager
    def none_left(scene: Scene) -> Iterator[None]:
        with ExitStack() as gone:
            for guard in guards:
                gone.enter_context(guard(scene))
            yield

    return none_left
