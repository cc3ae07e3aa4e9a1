"""Messages about wrong fields are sentences: no patterns, and no words of the validation library."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from script.stack.running_server import CHECKOUT
from shared.errors import Invalid
from shared.imports.csv_reader import OTHER_FILES
from shared.validation_messages import INVALID, MESSAGES, errors_of
from web.app import create_app
from web.http.schemas import Body, Query

WRONG: tuple[Any, ...] = (
    None,
    5,
    -1,
    1.5,
    10**30,
    float("nan"),
    True,
    "",
    " ",
    "x",
    "\x00",
    "2026-02-12",
    "x" * 20_000,
    [],
    [1, 1],
    {"x": 1},
)
POSITION = {
    "FieldError": 1,
    "TextFormat": 1,
    "InvalidLogo": 0,
    "UnknownDestination": 0,
    "InvalidCell": 1,
    "ValueError": 0,
}
"""Which argument of a call is a message about a field."""
INTERNAL = {"external_tokens.py", "contrast.py", "render.py", "base.py", "pdf_merge.py", "file_responses.py"}
"""Modules whose ValueErrors no client reads."""


def is_sentence(text: str) -> bool:
    words = [len(sentence.split()) for sentence in re.split(r"[.:] ", text)]
    return (
        bool(re.fullmatch(r"[A-Z].*[^ ]\.", text, re.DOTALL))
        and max(words) <= 25
        and not re.search(r"[\^\\]|Value", text)
    )


def models() -> Iterator[type[BaseModel]]:
    """Yield the models of all bodies, which those of a quest file are, and of all queries."""
    create_app()
    queue: list[type[BaseModel]] = [Body, Query]
    while queue:
        model = queue.pop()
        queue += model.__subclasses__()
        if model.__module__.startswith(("shared.", "web.")):
            yield model


def messages_in_source() -> Iterator[str]:
    """Yield the messages about fields of the source. A 1 replaces each inserted value."""
    for root in ("shared", "web"):
        for path in (CHECKOUT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                text = None
                if isinstance(node, ast.Call):
                    name = getattr(node.func, "id", "")
                    position = POSITION.get(name, len(node.args))
                    if len(node.args) > position and not (name == "ValueError" and path.name in INTERNAL):
                        text = node.args[position]
                elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple) and path.name == "rules.py":
                    text = node.value.elts[-1]
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value
                elif isinstance(text, ast.JoinedStr) and isinstance(text.values[0], ast.Constant):
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in text.values)


def test_every_wrong_value_of_a_field_gets_sentences() -> None:
    messages = set()
    for model in models():
        for name in ("unknown", *model.model_fields):
            for value in WRONG:
                try:
                    model.model_validate({name: value})
                except ValidationError as error:
                    messages |= {message for _, message in errors_of(error)}
                except Invalid as error:
                    messages |= {each.message for each in error.field_errors}

    assert len(messages) > 50
    assert INVALID not in messages
    assert [message for message in sorted(messages) if not is_sentence(message)] == []


def test_messages_in_the_source_are_sentences() -> None:
    messages = [*messages_in_source(), *MESSAGES.values(), *OTHER_FILES.values()]

    assert len(messages) > 100
    assert [message for message in messages if not is_sentence(message)] == []


@pytest.mark.parametrize(
    "text", ["must be x", "Use x", "Use .", "Use ^[a-z]+$.", "Value error, x.", "Use" + " x" * 30 + "."]
)
def test_other_texts_are_noticed(text: str) -> None:
    """The negative control of the tests above."""
    assert not is_sentence(text)
