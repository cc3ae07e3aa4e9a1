"""Quests over HTTP: sign-ins and sign-ups tracked, rewards claimed, own progress shown."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import Field, StringConstraints

from shared.errors import DomainError, NotFound, Unavailable
from shared.infra import db
from shared.quests import catalog_client, commands, definitions, store
from shared.quests.commands import Asked
from shared.quests.quest_views import shown_to
from shared.quests.rules import Quest, QuestEvent, Status, status_of
from shared.settings import settings
from web.http.auth import me, signed_in
from web.http.idempotency import answer_once, idempotency_key, takes_key, transaction
from web.http.pagination import PageQuery, cut, decode_cursor, decode_id
from web.http.schemas import Answer, Body, Id, Time

api = APIBlueprint("quests", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="Quests")])


class ClaimBody(Body):
    quest_name: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class TrackedAnswer(Answer):
    message: Literal["Sign-in tracked", "Sign-up tracked"]
    status: Status


class QuestRewardAnswer(Answer):
    item: str
    qty: int


class ClaimedAnswer(Answer):
    message: Literal["Reward claimed successfully"]
    reward: QuestRewardAnswer


class QuestAnswer(Answer):
    """A quest, and how far the caller is: `progress` of `streak` in the round that is open."""

    name: str
    description: str
    streak: int
    duplication: int = Field(description="How often it can be completed")
    auto_claim: bool
    daily: bool = Field(description="A day counts once, in the player's own time zone")
    grace_days: int = Field(description="Days that may be missed between two that count; one more ends the streak")
    by_scans: bool = Field(description="Whether scans advance it")
    reward: QuestRewardAnswer | None
    status: Status
    progress: int
    completions: int
    claims: int
    claimable: int


class QuestsAnswer(Answer):
    items: list[QuestAnswer]
    next_cursor: str | None


class EventAnswer(Answer):
    """Something that happened on a quest, with the facts it was judged by."""

    id: Id
    quest: str
    version: int = Field(description="Its place among the events of this quest, from 1")
    type: Literal[
        "quest_step",
        "quest_completed",
        "reward_claimed",
        "action_noted",
        "scans_retracted",
        "reward_taken_back",
    ]
    scan_id: Id | None
    data: dict[str, Any]
    at: Time


class EventsAnswer(Answer):
    items: list[EventAnswer]
    next_cursor: str | None


@api.post("/track/signin", responses={200: TrackedAnswer, 404: None, 409: None})
@signed_in
@takes_key
def track_signin() -> Response:
    """Track a sign-in: a step on the quest named by SIGNIN_QUEST."""
    return _track("Sign-in tracked", settings().signin_quest)


@api.post("/track/signup", responses={200: TrackedAnswer, 404: None, 409: None})
@signed_in
@takes_key
def track_signup() -> Response:
    """Track a sign-up: a step on the quest named by SIGNUP_QUEST."""
    return _track("Sign-up tracked", settings().signup_quest)


@api.post("/track/claim_reward", responses={200: ClaimedAnswer, 404: None, 409: None})
@signed_in
@takes_key
def claim_reward(body: ClaimBody) -> Response:
    """Claim the reward of a completion, once. 409: not completed yet, no reward, or claimed as often as allowed."""
    found = _find(body.quest_name)

    def claim() -> dict[str, Any]:
        won = next(event.data for event in _carry_out(found, claims=True) if event.type == "reward_claimed")
        return {"message": "Reward claimed successfully", "reward": {"item": won["item"], "qty": won["quantity"]}}

    return answer_once(me(), claim)


@api.get("/quests", responses={200: QuestsAnswer})
@signed_in
def list_quests(query: PageQuery) -> dict[str, Any]:
    """What there is to do, by name, and the caller's own progress."""
    after = decode_cursor(query.cursor, 1)[0] if query.cursor else ""
    known = catalog_client.quests()
    with db.connection() as conn:
        found = [each for each in shown_to(conn, me(), known) if each.name > after]
    page, next_cursor = cut(found[: query.limit + 1], query.limit, lambda each: (each.name,))
    items = [QuestAnswer.model_validate(each) for each in page]
    return QuestsAnswer(items=items, next_cursor=next_cursor).model_dump(mode="json")


@api.get("/quests/events", responses={200: EventsAnswer})
@signed_in
def list_events(query: PageQuery) -> dict[str, Any]:
    """The caller's own events, newest first: what their progress is made of."""
    with db.connection() as conn:
        before = decode_id(query.cursor)
        found = store.history(conn, me(), limit=query.limit + 1, before=before)
    page, next_cursor = cut(found, query.limit, lambda each: (str(each.id),))
    items = [EventAnswer.model_validate(each) for each in page]
    return EventsAnswer(items=items, next_cursor=next_cursor).model_dump(mode="json")


def _track(message: str, quest_name: str) -> Response:
    found = _find(quest_name)

    def track() -> dict[str, Any]:
        return {"message": message, "status": status_of(_carry_out(found, claims=False))}

    return answer_once(me(), track)


def _carry_out(found: Quest | DomainError, *, claims: bool) -> Sequence[QuestEvent]:
    if isinstance(found, DomainError):
        raise found
    asked = Asked(me(), found, claims)
    if idempotency_key() is None:
        return commands.one_of(commands.together.do(asked))
    with transaction() as conn:  # that of the answer
        return commands.one_of(commands.carry_out(conn, [asked], datetime.now(UTC))[0])


def _find(name: str) -> Quest | DomainError:
    """As the catalog has it; one that scans advance, and that the catalog does not tell of, as we have it. Asked for
    before the transaction of the answer, which must not wait for a catalog; if there is none, a stored answer still
    stands."""
    try:
        return catalog_client.quest(name)
    except (NotFound, Unavailable) as error:
        with db.connection() as conn:
            own = definitions.find(conn, name)
        return own.quest if own is not None and own.by_scans else error
