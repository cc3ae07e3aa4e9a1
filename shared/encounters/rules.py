"""Grading answers to puzzles. Pure."""

import hmac
import re
import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal
from uuid import UUID

PuzzleType = Literal["decryption", "pattern", "hacking"]
MAX_ANSWER_LENGTH = 1_000
MINUS = re.compile(r"(?<![^\W_])-(?=\d)")
"""A hyphen that makes a number negative: right before a digit and not between two tokens."""


@dataclass(frozen=True)
class Puzzle:
    """A puzzle and the reward of its code, which `org_id` issues. `solution` is never sent to players.

    `is_closed` is true if the organization is closed: then no answer is accepted.
    """

    puzzle_type: PuzzleType
    solution: str | None
    max_attempts: int | None
    reward: str | None = None
    quantity: int | None = None
    org_id: UUID | None = None
    is_closed: bool = False


@dataclass(frozen=True)
class Attempts:
    """Attempts at the puzzle that one scan opened."""

    wrong_answers: int = 0
    is_solved: bool = False


def normalize(puzzle_type: PuzzleType, text: str) -> str:
    """Return an answer or a solution in the form in which both are compared.

    decryption  a text: case, spaces and Unicode compatibility (NFKC) do not matter
    pattern     a sequence: separators do not matter; `3-1-4` equals `[3, 1, 4]` equals `3 1 04`
    hacking     exact: every character matters
    """
    match puzzle_type:
        case "decryption":
            return "".join(_casefold(text).split())
        case "pattern":
            return " ".join(_tokens(_casefold(text)))
        case "hacking":
            return text


def is_solvable(puzzle_type: PuzzleType, solution: str | None) -> bool:
    """Return whether there is a solution that is not empty after normalization."""
    return solution is not None and normalize(puzzle_type, solution) != ""


def is_correct(puzzle: Puzzle, answer: str) -> bool:
    """Return whether the answer solves the puzzle. The time does not depend on how much of it is right."""
    solution, attempt = (normalize(puzzle.puzzle_type, text) for text in (puzzle.solution or "", answer))
    # Digests have one length, so the time does not depend on the length of the solution either.
    is_equal = hmac.compare_digest(_digest(solution), _digest(attempt))
    return is_equal and solution != ""


def attempts_left(puzzle: Puzzle, attempts: Attempts) -> int | None:
    """Return how many more wrong answers are accepted; None if there is no limit."""
    return None if puzzle.max_attempts is None else max(0, puzzle.max_attempts - attempts.wrong_answers)


def is_open(puzzle: Puzzle, attempts: Attempts) -> bool:
    """Return whether another answer is accepted."""
    return not attempts.is_solved and attempts_left(puzzle, attempts) != 0


def _casefold(text: str) -> str:
    """Fold case and compatibility (the Unicode Standard, 3.13, D147), and drop invisible characters."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in folded if character.isspace() or not _is_invisible(character))


def _is_invisible(character: str) -> bool:
    # Control and format characters, and variation selectors.
    return unicodedata.category(character) in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f"


def _tokens(text: str) -> list[str]:
    """Return the tokens of a sequence: numbers, words, and symbols such as arrows, each its own token."""
    tokens: list[str] = []
    is_inside = False
    for character in MINUS.sub("\N{MINUS SIGN}", text.replace("\N{MINUS SIGN}", "-")):
        kind = unicodedata.category(character)[0]
        is_symbol = kind == "S" and not character.isascii()
        if is_symbol or (kind in "LMN" and not is_inside):
            tokens.append(character)
        elif kind in "LMN":
            tokens[-1] += character
        is_inside = kind in "LMN" or character == "\N{MINUS SIGN}"
    return [str(int(token.replace("\N{MINUS SIGN}", "-"))) if _is_number(token) else token for token in tokens]


def _is_number(token: str) -> bool:
    return token.removeprefix("\N{MINUS SIGN}").isdecimal()


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
