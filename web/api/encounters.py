"""Puzzles over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, StringConstraints

from shared.encounters import puzzle_list, store
from shared.encounters.rules import MAX_ANSWER_LENGTH, PuzzleType, choose, is_correct
from shared.errors import NoAttemptsLeft, NoSolution, NotFound, OrganizationClosed, PuzzleClosed, PuzzleNotUnlocked
from shared.infra import db
from web.http.auth import current_player_id, requires_login, requires_self
from web.http.idempotency import idempotent, transaction
from web.http.pagination import PageQuery, decode_id, paginate
from web.http.relay_wakeup import wake_relay_after_request
from web.http.schemas import Body, Id, ResponseModel, Timestamp

api = APIBlueprint("encounters", __name__, abp_tags=[Tag(name="Scans")])


class EncounterPath(Body):
    encounter_id: Id


class PlayerPath(Body):
    player_id: Id


class PuzzlesQuery(PageQuery):
    open: bool | None = Field(
        None,
        description="true: only puzzles that accept another answer; false: only those that do not",
        examples=[True],
    )


class PuzzleResponse(ResponseModel):
    """A puzzle that a scan of the player opened."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "scan_id": "0197a6b0-0000-7000-8000-000000000001",
                    "encounter_id": "0197a6b0-0000-7000-8000-000000000004",
                    "qr_code": "cave",
                    "description": "Behind the waterfall",
                    "puzzle_type": "decryption",
                    "difficulty_level": 3,
                    "data": {"cipher": "pqfo tftbnf"},
                    "attempts_left": 5,
                    "solved": False,
                    "solved_at": None,
                    "closes_at": "2026-02-13T10:00:01.050000Z",
                    "reward": None,
                    "quantity": None,
                }
            ]
        }
    )

    scan_id: Id
    encounter_id: Id
    qr_code: str
    description: str
    puzzle_type: PuzzleType
    difficulty_level: int
    data: dict[str, Any] = Field(description="The task, as it was at the time of the scan")
    attempts_left: int | None
    solved: bool
    solved_at: Timestamp | None = Field(description="When it was solved; null: not yet")
    closes_at: Timestamp = Field(description="Until when an answer is accepted")
    reward: str | None = Field(description="null until it is solved, and if it gives none")
    quantity: int | None = Field(description="Number of items; null until it is solved")


class PuzzlesResponse(ResponseModel):
    items: list[PuzzleResponse]
    next_cursor: str | None


class SolveBody(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"answer": "open sesame"}]})

    answer: Annotated[str, StringConstraints(min_length=1, max_length=MAX_ANSWER_LENGTH)]


class SolveResponse(ResponseModel):
    """Solved, with the reward that was paid, or not, with the attempts that are left."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"solved": True, "reward": "gem", "quantity": 3, "org_id": "0197a6b0-0000-7000-8000-000000000003"}
            ]
        }
    )

    solved: bool
    reward: str | None = None
    quantity: int | None = None
    org_id: Id | None = Field(None, description="Issuer of the reward")
    attempts_left: int | None = Field(None, description="Only if not solved; null: no limit")


@api.post("/encounters/<encounter_id>/solve", responses={200: SolveResponse, 403: None, 409: None, 410: None})
@requires_login
@idempotent
def solve(path: EncounterPath, body: SolveBody) -> dict[str, Any]:
    """Answer a puzzle

    For players whose scan of the puzzle's code succeeded, else 403. Each such scan opens the puzzle once, with the
    reward and the attempts of that time. An answer counts for the oldest open one. If none is open, the response to the
    last solution is repeated, and nothing is paid again. 409 if no attempts are left. 410 if `answer_within_hours` of
    the code have passed since the scan, or if the organization is closed. A retry with the same `Idempotency-Key` costs
    no attempt.
    """
    with transaction() as conn:
        puzzles = store.list_opened(conn, store.lock_scans(conn, path.encounter_id, current_player_id()))
        if not puzzles:
            raise PuzzleNotUnlocked if store.exists(conn, path.encounter_id) else NotFound
        puzzle = choose(puzzles)
        if puzzle.is_organization_closed:
            raise OrganizationClosed
        if puzzle.is_solved:
            return _solved(*store.get_paid_reward(conn, puzzle.scan_id))
        if puzzle.is_closed:
            raise PuzzleClosed
        if puzzle.attempts_left == 0:
            raise NoAttemptsLeft
        # The current solution counts too: a corrected one helps players whose puzzle is open.
        known = (puzzle.solution, store.find_solution(conn, path.encounter_id))
        solutions = [solution for solution in known if solution is not None]
        if not solutions:
            raise NoSolution
        if not is_correct(solutions, body.answer):
            store.record_wrong_answer(conn, puzzle.scan_id)
            left = puzzle.attempts_left
            return {"solved": False, "attempts_left": None if left is None else left - 1}
        store.record_solution(conn, path.encounter_id, puzzle)
        wake_relay_after_request()
        return _solved(puzzle.reward, puzzle.quantity, puzzle.org_id)


@api.get("/player/<player_id>/puzzles", responses={200: PuzzlesResponse})
@requires_self
def list_puzzles(path: PlayerPath, query: PuzzlesQuery) -> dict[str, Any]:
    """List a player's puzzles

    For the player only. Newest first: one entry for each successful scan that opened a puzzle. A puzzle is open until
    it is solved, no attempts are left, its time is over, or its organization is closed.
    """
    before = decode_id(query.cursor)
    with db.connection() as conn:
        puzzles = puzzle_list.list_puzzles(
            conn, path.player_id, is_open=query.open, limit=query.limit + 1, before=before
        )
    page, next_cursor = paginate(puzzles, query.limit, lambda puzzle: (str(puzzle.scan_id),))
    return PuzzlesResponse(
        items=[PuzzleResponse.model_validate(puzzle) for puzzle in page], next_cursor=next_cursor
    ).model_dump(mode="json")


def _solved(reward: str | None, quantity: int | None, org_id: UUID | None) -> dict[str, Any]:
    issuer = str(org_id) if reward is not None else None
    return {"solved": True, "reward": reward, "quantity": quantity, "org_id": issuer}
