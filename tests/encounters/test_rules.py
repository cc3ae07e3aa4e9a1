"""How answers are graded, as a table and as properties."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.encounters.rules import (
    MAX_ANSWER_LENGTH,
    Attempts,
    Puzzle,
    PuzzleType,
    attempts_left,
    is_correct,
    is_open,
    is_solvable,
    normalize,
)


@pytest.mark.parametrize(
    ("kind", "solution", "answer", "right"),
    [
        ("decryption", "open sesame", "open sesame", True),
        ("decryption", "open sesame", "  OPEN\tSesame\n", True),
        ("decryption", "open sesame", "OPENS ESAME", True),  # ciphers are written in groups of five
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
def test_grading(kind: PuzzleType, solution: str, answer: str, right: bool) -> None:
    assert is_correct(Puzzle(kind, solution, None), answer) is right


kinds = st.sampled_from(["decryption", "pattern", "hacking"])
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=60)


@given(kinds, texts)
def test_what_is_solvable_is_solved_by_its_own_solution(kind: PuzzleType, text: str) -> None:
    assert is_correct(Puzzle(kind, text, None), text) is is_solvable(kind, text)


@given(kinds, texts)
def test_without_anything_to_compare_with_nothing_is_right(kind: PuzzleType, text: str) -> None:
    for nothing in (None, "", " -, \u200b" if kind != "hacking" else ""):
        assert not is_correct(Puzzle(kind, nothing, None), text)
    assert not is_correct(Puzzle("decryption", " \u200b", None), " ")


@given(
    st.lists(st.integers(-999, 999), min_size=1, max_size=10), st.sampled_from([" ", ", ", ";", " / ", "\n", "_", "  "])
)
def test_a_sequence_is_its_numbers_however_separated(numbers: list[int], separator: str) -> None:
    written = separator.join(map(str, numbers))
    assert is_correct(Puzzle("pattern", str(numbers), None), written)
    assert not is_correct(Puzzle("pattern", str([*numbers, 7]), None), written)
    assert normalize("pattern", written).split() == [str(number) for number in numbers]


@given(texts)
def test_a_text_is_itself_in_any_case_and_normal_form(text: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normalize("decryption", unicodedata.normalize(form, text)) == normalize("decryption", text)


def test_reading_the_longest_answers_stays_quick() -> None:
    for text in (
        "-" * MAX_ANSWER_LENGTH,
        "9" * MAX_ANSWER_LENGTH,
        "\ufdfa" * MAX_ANSWER_LENGTH,
        "a\u0301" * (MAX_ANSWER_LENGTH // 2),
    ):
        for kind in ("decryption", "pattern", "hacking"):
            normalize(kind, text)


@pytest.mark.parametrize(
    ("limit", "tries", "left", "open_"),
    [
        (None, Attempts(999), None, True),
        (3, Attempts(0), 3, True),
        (3, Attempts(2), 1, True),
        (3, Attempts(3), 0, False),
        (3, Attempts(5), 0, False),  # the limit was lowered since
        (3, Attempts(1, is_solved=True), 2, False),
        (None, Attempts(0, is_solved=True), None, False),
    ],
)
def test_attempts(limit: int | None, tries: Attempts, left: int | None, open_: bool) -> None:
    puzzle = Puzzle("hacking", "x", limit)
    assert attempts_left(puzzle, tries) == left
    assert is_open(puzzle, tries) is open_
