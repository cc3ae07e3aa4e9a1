"""Attacks, the scene of an attack, and ways to remove exactly one guard.

A guard is removed at a seam: a function that a module calls by name, a setting, a constraint of a table, a condition of
an SQL statement. No removal depends on the text of Python source.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any
from unittest.mock import patch
from uuid import UUID

from flask import Flask
from pydantic import BaseModel

from shared.infra.db import Conn
from tests.support.callers import SignedInPlayer, Staff
from tests.support.factories import code_text, make_code
from web.http.auth import Requirement


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


def without_condition(function: Callable[..., object], condition: str) -> Without:
    """Replace one condition in the SQL of a function by `true`.

    It matches with any line breaks, and with or without an alias before its column.
    """
    words = r"\s*".join(map(re.escape, condition.split()))
    pattern = re.compile(rf"\b(?:\w+\.)?{words}")

    @contextmanager
    def mutated(_scene: Scene) -> Iterator[None]:
        assert isinstance(function, FunctionType)
        original = function.__code__
        constants = original.co_consts
        found = [pattern.findall(each) for each in constants if isinstance(each, str) and each != function.__doc__]
        assert sum(map(len, found)) == 1, f"{function.__qualname__} does not have the condition {condition!r} once"
        mutants = [pattern.sub("true", each) if isinstance(each, str) else each for each in constants]
        function.__code__ = original.replace(co_consts=tuple(mutants))
        try:
            yield
        finally:
            function.__code__ = original

    return mutated


def without_condition_of(sql_function: str, condition: str) -> Without:
    """Replace one condition in a function of the database by `true`."""

    @contextmanager
    def mutated(scene: Scene) -> Iterator[None]:
        found = scene.conn.execute("SELECT pg_get_functiondef(%s::regproc)", (sql_function,)).fetchone()
        assert found is not None
        definition = str(found[0])
        assert definition.count(condition) == 1, f"{sql_function} does not have the condition {condition!r} once"
        scene.conn.execute(definition.replace(condition, "true"))
        try:
            yield
        finally:
            scene.conn.execute(definition)

    return mutated


def requiring(endpoint: str, requirement: Requirement) -> Without:
    """Let a view require something else of its caller."""
    return lambda scene: patch.object(scene.app.view_functions[endpoint], "requirement", requirement)


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
