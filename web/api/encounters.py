"""Puzzles over HTTP: answered and solved."""

from typing import Annotated, Any

from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints

from shared.encounters import store
from shared.encounters.rules import MAX_ANSWER, attempts_left, is_open, is_right, is_solvable
from shared.errors import AttemptsSpent, NoPuzzle, NotFound, Unsolvable
from web.http.auth import me, signed_in
from web.http.idempotency import idempotent, transaction
from web.http.schemas import Answer, Body, Id

api = APIBlueprint("encounters", __name__, url_prefix="/encounters", abp_tags=[Tag(name="Scans")])


class EncounterPath(Body):
    encounter_id: Id


class SolveBody(Body):
    answer: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ANSWER)]


class SolveAnswer(Answer):
    """Solved, with what it pays; or not, with what is left."""

    solved: bool
    reward: str | None = None
    quantity: int | None = None
    attempts_left: int | None = Field(None, description="While it is not solved; null: as many as one likes")


@api.post("/<encounter_id>/solve", responses={200: SolveAnswer, 403: None, 409: None})
@signed_in
@idempotent
def solve(path: EncounterPath, body: SolveBody) -> dict[str, Any]:
    """Answer the puzzle that a scan of yours handed out. Once solved, any answer gets the first 200 again.

    Each successful scan opens the puzzle once; an answer is for the oldest one still open. Where none is, the last one
    solved is told again. A retry under its Idempotency-Key is for no other one.
    """
    with transaction() as conn:
        opened = store.tries(conn, store.lock_scans(conn, path.encounter_id, me()))
        puzzle = store.find(conn, path.encounter_id)
        if puzzle is None:
            raise NotFound
        if not opened:
            raise NoPuzzle
        solved = (each for each in reversed(opened) if each.is_solved)
        ours = next((each for each in opened if is_open(puzzle, each)), None) or next(solved, opened[-1])
        if ours.is_solved:
            reward, quantity = store.paid(conn, ours.scan_id)
            return {"solved": True, "reward": reward, "quantity": quantity}
        if not is_open(puzzle, ours):
            raise AttemptsSpent
        if not is_solvable(puzzle.puzzle_type, puzzle.solution):
            raise Unsolvable
        if not is_right(puzzle, body.answer):
            store.miss(conn, ours.scan_id)
            left = attempts_left(puzzle, ours)
            return {"solved": False, "attempts_left": None if left is None else left - 1}
        store.solve(conn, ours.scan_id, path.encounter_id, puzzle)
        return {"solved": True, "reward": puzzle.reward, "quantity": puzzle.quantity}
