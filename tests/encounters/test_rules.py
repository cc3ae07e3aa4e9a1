"""Grading of answers, as a table and as properties."""

import unicodedata
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.encounters.rules import (
    MAX_ANSWER_LENGTH,
    OpenedPuzzle,
    PuzzleType,
    choose,
    is_correct,
    is_solvable,
    normalize,
    to_solution,
)


def solves(kind: PuzzleType, solution: str | None, answer: str) -> bool:
    known = to_solution(kind, solution)
    return is_correct([known] if known else [], answer)


def opened(**state: Any) -> OpenedPuzzle:
    return OpenedPuzzle(scan_id=UUID(int=1), org_id=UUID(int=2), **state)


@pytest.mark.parametrize(
    ("kind", "solution", "answer", "expected"),
    [
        ("decryption", "open sesame", "open sesame", True),
        ("decryption", "open sesame", "  OPEN\tSesame\n", True),
        ("decryption", "open sesame", "OPENS ESAME", True),  # ciphers are answer in groups of five
        ("decryption", "open sesame", "open\u00a0\u200bsesame", True),
        ("decryption", "open sesame", "open", False),
        ("decryption", "open sesame", "open sesame!", False),
        ("decryption", "caf\u00e9", "CAFE\u0301", True),
        ("decryption", "stra\u00dfe", "STRASSE", True),
        ("decryption", "\uff37\uff41\uff59", "way", True),  # full width
        ("decryption", "r\u00e9sum\u00e9", "resume", False),
        ("pattern", "3-1-4", "3, 1, 4", True),
        ("pattern", "3-1-4", "[3,1,4]", True),
        ("pattern", "3-1-4", "3 | 1 | 04", True),
        ("pattern", "3-1-4", " 3\n1\n4 ", True),
        ("pattern", "3-1-4", "314", False),
        ("pattern", "3-1-4", "3 1", False),
        ("pattern", "3-1-4", "3 1 4 1", False),
        ("pattern", "3-1-4", "4 1 3", False),
        ("pattern", "3-1-4", "\u0663 \u0661 \u0664", True),  # the same numbers in Arabic-Indic digits
        ("pattern", "3, -1, 4", "3 -1 4", True),
        ("pattern", "3, -1, 4", "3 \u22121 4", True),
        ("pattern", "3, -1, 4", "3 1 4", False),
        ("pattern", "red > green > blue", "Red, GREEN, blue.", True),
        ("pattern", "red > green > blue", "redgreenblue", False),
        ("pattern", "\u2191\u2191\u2193", "\u2191 \u2191 \u2193", True),
        ("pattern", "\u2191\u2191\u2193", "\u2191\ufe0f\u2191\ufe0f\u2193\ufe0f", True),
        ("pattern", "\u2191\u2191\u2193", "\u2191\u2193\u2191", False),
        ("hacking", "sudo -i", "sudo -i", True),
        ("hacking", "sudo -i", "Sudo -i", False),
        ("hacking", "sudo -i", "sudo -i ", False),
        ("hacking", "caf\u00e9", "cafe\u0301", False),
        ("hacking", " ", " ", True),
    ],
)
def test_is_correct(kind: PuzzleType, solution: str, answer: str, expected: bool) -> None:
    assert solves(kind, solution, answer) is expected


kinds = st.sampled_from(["decryption", "pattern", "hacking"])
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=60)


@given(kinds, texts)
def test_solution_solves_every_solvable_puzzle(kind: PuzzleType, text: str) -> None:
    assert solves(kind, text, text) is is_solvable(kind, text)


@given(kinds, texts)
def test_no_answer_solves_a_puzzle_without_a_solution(kind: PuzzleType, text: str) -> None:
    for empty in (None, "", " -, \u200b" if kind == "pattern" else ""):
        assert not solves(kind, empty, text)
    assert not solves("decryption", " \u200b", " ")


@given(
    st.lists(st.integers(-999, 999), min_size=1, max_size=10), st.sampled_from([" ", ", ", ";", " / ", "\n", "_", "  "])
)
def test_sequence_equals_its_numbers_with_any_separator(numbers: list[int], separator: str) -> None:
    answer = separator.join(map(str, numbers))
    assert solves("pattern", str(numbers), answer)
    assert not solves("pattern", str([*numbers, 7]), answer)
    assert normalize("pattern", answer).split() == [str(number) for number in numbers]


@given(texts)
def test_text_equals_itself_in_any_normal_form(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normalize("decryption", unicodedata.normalize(form, text)) == normalize("decryption", text)


@pytest.mark.parametrize("kind", ["decryption", "pattern", "hacking"])
@pytest.mark.parametrize("unit", ["-", "9", "\ufdfa", "a\u0301"])
def test_longest_answer_is_graded(kind: PuzzleType, unit: str) -> None:
    text = unit * (MAX_ANSWER_LENGTH // len(unit))
    assert solves(kind, text, text) is ((kind, unit) != ("pattern", "-"))


@pytest.mark.parametrize(
    ("limit", "state", "left", "expected"),
    [
        (None, {"wrong_answers": 999}, None, True),
        (3, {}, 3, True),
        (3, {"wrong_answers": 2}, 1, True),
        (3, {"wrong_answers": 3}, 0, False),
        (3, {"wrong_answers": 1, "is_solved": True}, 2, False),
        (None, {"is_solved": True}, None, False),
        (None, {"is_closed": True}, None, False),
    ],
)
def test_attempts_left(limit: int | None, state: dict[str, Any], left: int | None, expected: bool) -> None:
    puzzle = opened(max_attempts=limit, **state)
    assert puzzle.attempts_left == left
    assert puzzle.is_open is expected


OPEN, SOLVED, CLOSED = opened(), opened(is_solved=True), opened(is_closed=True)


@pytest.mark.parametrize(
    ("puzzles", "expected"),
    [
        ([OPEN], 0),
        ([CLOSED, OPEN, OPEN], 1),
        ([SOLVED, OPEN, SOLVED], 1),
        ([SOLVED, CLOSED, SOLVED, CLOSED], 2),
        ([CLOSED, CLOSED], 1),
    ],
)
def test_answer_is_for_the_oldest_open_puzzle(puzzles: list[OpenedPuzzle], expected: int) -> None:
    # Each with an id of its own.
    numbered = [replace(puzzle, scan_id=UUID(int=number)) for number, puzzle in enumerate(puzzles)]
    assert choose(numbered) is numbered[expected]
