"""How an answer to a puzzle is graded, and what follows from it. Pure."""

import hmac
import re
import unicodedata
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

PuzzleType = Literal["decryption", "pattern", "hacking"]
MAX_ANSWER_LENGTH = 1_000
SIGN = re.compile(r"(?<![^\W_])-(?=\d)")
"""A hyphen that makes a number negative: right before a digit, and not between two tokens."""


@dataclass(frozen=True)
class Puzzle:
    """What an answer is graded by. `solution` is never told to who answers."""

    puzzle_type: PuzzleType
    solution: str | None
    max_attempts: int | None
    reward: str | None = None
    quantity: int | None = None


@dataclass(frozen=True)
class Attempts:
    """What was tried on the puzzle that one scan handed out."""

    wrong_answers: int = 0
    is_solved: bool = False


def normalize(puzzle_type: PuzzleType, text: str) -> str:
    """An answer or a solution as it is compared: what does not matter to this kind of puzzle is taken away.

    decryption  a text: neither case nor spaces nor the spelling of a character in Unicode (NFKC) matter
    pattern     a sequence: of what separates its members nothing matters; `3-1-4` is `[3, 1, 4]` is `3 1 04`
    hacking     exact, to the last character
    """
    match puzzle_type:
        case "decryption":
            return "".join(_casefold(text).split())
        case "pattern":
            return " ".join(_tokens(_casefold(text)))
        case "hacking":
            return text


def is_solvable(puzzle_type: PuzzleType, solution: str | None) -> bool:
    """Whether there is a solution, and anything is left of it once it is read."""
    return solution is not None and normalize(puzzle_type, solution) != ""


def is_correct(puzzle: Puzzle, answer: str) -> bool:
    """Whether the answer solves the puzzle; in the same time, however much of it is right."""
    ours, theirs = (normalize(puzzle.puzzle_type, text) for text in (puzzle.solution or "", answer))
    same = hmac.compare_digest(_digest(ours), _digest(theirs))  # of one length, so that not even that shows
    return same and ours != ""


def attempts_left(puzzle: Puzzle, tries: Attempts) -> int | None:
    """How many wrong answers may still be given; None: as many as one likes."""
    return None if puzzle.max_attempts is None else max(0, puzzle.max_attempts - tries.wrong_answers)


def is_open(puzzle: Puzzle, tries: Attempts) -> bool:
    """Whether another answer is taken."""
    return not tries.is_solved and attempts_left(puzzle, tries) != 0


def _casefold(text: str) -> str:
    """Case and Unicode spelling taken away (the Unicode Standard, 3.13, D147), and characters that nobody sees."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in folded if character.isspace() or not _is_invisible(character))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f"  # variation selectors


def _tokens(text: str) -> list[str]:
    """The members of a sequence: numbers, words, and signs such as arrows, which stand for themselves."""
    members: list[str] = []
    is_inside = False
    for character in SIGN.sub("\N{MINUS SIGN}", text.replace("\N{MINUS SIGN}", "-")):
        kind = unicodedata.category(character)[0]
        is_sign = kind == "S" and not character.isascii()
        if is_sign or (kind in "LMN" and not is_inside):
            members.append(character)
        elif kind in "LMN":
            members[-1] += character
        is_inside = kind in "LMN" or character == "\N{MINUS SIGN}"
    return [str(int(member.replace("\N{MINUS SIGN}", "-"))) if _is_number(member) else member for member in members]


def _is_number(member: str) -> bool:
    return member.removeprefix("\N{MINUS SIGN}").isdecimal()


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()
