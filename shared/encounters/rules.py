"""Grading answers to puzzles. Pure."""

import hmac
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal
from uuid import UUID

PuzzleType = Literal["decryption", "pattern", "hacking"]
MAX_ANSWER_LENGTH = 1_000
MINUS = re.compile(r"(?<![^\W_])-(?=\d)")
"""A hyphen that makes a number negative: right before a digit and not between two tokens."""


@dataclass(frozen=True)
class Solution:
    """The SHA-256 of a solution in the form of `normalize`."""

    puzzle_type: PuzzleType
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class OpenedPuzzle:
    """A puzzle under the terms of the scan that opened it, and the attempts of its player so far.

    `org_id` issues the reward. `is_closed` is true if the time for answers is over.
    """

    scan_id: UUID
    org_id: UUID
    solution: Solution | None = None
    max_attempts: int | None = None
    reward: str | None = None
    quantity: int | None = None
    wrong_answers: int = 0
    is_solved: bool = False
    is_closed: bool = False
    is_organization_closed: bool = False

    @property
    def attempts_left(self) -> int | None:
        """Return how many more wrong answers are accepted; None if there is no limit."""
        return None if self.max_attempts is None else max(0, self.max_attempts - self.wrong_answers)

    @property
    def is_open(self) -> bool:
        """True if another answer is accepted."""
        return not self.is_solved and not self.is_closed and self.attempts_left != 0


def choose(puzzles: Sequence[OpenedPuzzle]) -> OpenedPuzzle:
    """Return the puzzle that an answer is for: the oldest open one, else the last solved one, else the last.

    `puzzles` are of one player and one encounter, oldest first, and not empty.
    """
    is_open = next((puzzle for puzzle in puzzles if puzzle.is_open), None)
    return is_open or next((puzzle for puzzle in reversed(puzzles) if puzzle.is_solved), puzzles[-1])


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


def to_solution(puzzle_type: PuzzleType, solution: str | None) -> Solution | None:
    """Return the solution in the form in which answers are compared with it. None if no answer can be right."""
    if solution is None or not is_solvable(puzzle_type, solution):
        return None
    return Solution(puzzle_type, _digest(normalize(puzzle_type, solution)))


def is_correct(solutions: Sequence[Solution], answer: str) -> bool:
    """Return whether the answer is one of the solutions. The time does not depend on how much of it is right."""
    # Digests have one length, so the time does not depend on the length of the solution either.
    results = [
        hmac.compare_digest(solution.digest, _digest(normalize(solution.puzzle_type, answer))) for solution in solutions
    ]
    return any(results)


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
