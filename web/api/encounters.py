"""Puzzles over HTTP: answered and solved."""

from typing import Annotated, Any

from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints

from shared.encounters import store
from shared.encounters.rules import MAX_ANSWER_LENGTH, attempts_left, is_correct, is_open, is_solvable
from shared.errors import NoAttemptsLeft, NoSolution, NotFound, PuzzleNotUnlocked
from web.http.auth import current_player_id, requires_login
from web.http.idempotency import idempotent, transaction
from web.http.schemas import Body, Id, ResponseModel

api = APIBlueprint("encounters", __name__, url_prefix="/encounters", abp_tags=[Tag(name="Scans")])


class EncounterPath(Body):
    encounter_id: Id


class SolveBody(Body):
    answer: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ANSWER_LENGTH)]


class SolveResponse(ResponseModel):
    """Solved, with what it pays; or not, with what is left."""

    solved: bool
    reward: str | None = None
    quantity: int | None = None
    attempts_left: int | None = Field(None, description="While it is not solved; null: as many as one likes")


@api.post("/<encounter_id>/solve", responses={200: SolveResponse, 403: None, 409: None})
@requires_login
@idempotent
def solve(path: EncounterPath, body: SolveBody) -> dict[str, Any]:
    """Answer the puzzle that a scan of yours handed out. Once solved, any answer gets the first 200 again.

    Each successful scan opens the puzzle once; an answer is for the oldest one still open. Where none is, the last one
    solved is told again. A retry under its Idempotency-Key is for no other one.
    """
    with transaction() as conn:
        opened = store.list_attempts(conn, store.lock_scans(conn, path.encounter_id, current_player_id()))
        puzzle = store.find(conn, path.encounter_id)
        if puzzle is None:
            raise NotFound
        if not opened:
            raise PuzzleNotUnlocked
        solved = (each for each in reversed(opened) if each.is_solved)
        ours = next((each for each in opened if is_open(puzzle, each)), None) or next(solved, opened[-1])
        if ours.is_solved:
            reward, quantity = store.get_paid_reward(conn, ours.scan_id)
            return {"solved": True, "reward": reward, "quantity": quantity}
        if not is_open(puzzle, ours):
            raise NoAttemptsLeft
        if not is_solvable(puzzle.puzzle_type, puzzle.solution):
            raise NoSolution
        if not is_correct(puzzle, body.answer):
            store.record_wrong_answer(conn, ours.scan_id)
            left = attempts_left(puzzle, ours)
            return {"solved": False, "attempts_left": None if left is None else left - 1}
        store.record_solution(conn, ours.scan_id, path.encounter_id, puzzle)
        return {"solved": True, "reward": puzzle.reward, "quantity": puzzle.quantity}
