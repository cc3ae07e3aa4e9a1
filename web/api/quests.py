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
from shared.quests.commands import QuestCommand
from shared.quests.quest_views import list_for_player
from shared.quests.rules import Quest, QuestEvent, QuestStatus, status_of
from web.http.auth import current_player_id, requires_login
from web.http.idempotency import documents_idempotency_key, idempotency_key, run_once, transaction
from web.http.pagination import PageQuery, decode_cursor, decode_id, paginate
from web.http.schemas import Body, Id, ResponseModel, Timestamp
from web.http.settings import current_settings

api = APIBlueprint("quests", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="Quests")])


class ClaimBody(Body):
    quest_name: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class TrackedResponse(ResponseModel):
    message: Literal["Sign-in tracked", "Sign-up tracked"]
    status: QuestStatus


class QuestRewardResponse(ResponseModel):
    item: str
    qty: int


class ClaimedResponse(ResponseModel):
    message: Literal["Reward claimed successfully"]
    reward: QuestRewardResponse


class QuestResponse(ResponseModel):
    """A quest, and how far the caller is: `progress` of `streak` in the round that is open."""

    name: str
    description: str
    streak: int
    duplication: int = Field(description="How often it can be completed")
    auto_claim: bool
    daily: bool = Field(description="A day counts once, in the player's own time zone")
    grace_days: int = Field(description="Days that may be missed between two that count; one more ends the streak")
    by_scans: bool = Field(description="Whether scans advance it")
    reward: QuestRewardResponse | None
    status: QuestStatus
    progress: int
    completions: int
    claims: int
    claimable: int


class QuestsResponse(ResponseModel):
    items: list[QuestResponse]
    next_cursor: str | None


class EventResponse(ResponseModel):
    """Something that happened on a quest, with the facts it was judged by."""

    id: Id
    quest: str
    version: int = Field(description="Its place among the events of this quest, from 1")
    type: Literal[
        "quest_step",
        "quest_completed",
        "reward_claimed",
        "action_ignored",
        "scans_retracted",
        "reward_revoked",
    ]
    scan_id: Id | None
    data: dict[str, Any]
    at: Timestamp


class EventsResponse(ResponseModel):
    items: list[EventResponse]
    next_cursor: str | None


@api.post("/track/signin", responses={200: TrackedResponse, 404: None, 409: None})
@requires_login
@documents_idempotency_key
def track_signin() -> Response:
    """Track a sign-in: a step on the quest named by SIGNIN_QUEST."""
    return _track("Sign-in tracked", current_settings().signin_quest)


@api.post("/track/signup", responses={200: TrackedResponse, 404: None, 409: None})
@requires_login
@documents_idempotency_key
def track_signup() -> Response:
    """Track a sign-up: a step on the quest named by SIGNUP_QUEST."""
    return _track("Sign-up tracked", current_settings().signup_quest)


@api.post("/track/claim_reward", responses={200: ClaimedResponse, 404: None, 409: None})
@requires_login
@documents_idempotency_key
def claim_reward(body: ClaimBody) -> Response:
    """Claim the reward of a completion, once. 409: not completed yet, no reward, or claimed as often as allowed."""
    found = _find(body.quest_name)

    def claim() -> dict[str, Any]:
        won = next(event.data for event in _carry_out(found, claims=True) if event.type == "reward_claimed")
        return {"message": "Reward claimed successfully", "reward": {"item": won["item"], "qty": won["quantity"]}}

    return run_once(current_player_id(), claim)


@api.get("/quests", responses={200: QuestsResponse})
@requires_login
def list_quests(query: PageQuery) -> dict[str, Any]:
    """What there is to do, by name, and the caller's own progress."""
    after = decode_cursor(query.cursor, 1)[0] if query.cursor else ""
    known = catalog_client.list_quests()
    with db.connection() as conn:
        found = [each for each in list_for_player(conn, current_player_id(), known) if each.name > after]
    page, next_cursor = paginate(found[: query.limit + 1], query.limit, lambda each: (each.name,))
    items = [QuestResponse.model_validate(each) for each in page]
    return QuestsResponse(items=items, next_cursor=next_cursor).model_dump(mode="json")


@api.get("/quests/events", responses={200: EventsResponse})
@requires_login
def list_events(query: PageQuery) -> dict[str, Any]:
    """The caller's own events, newest first: what their progress is made of."""
    with db.connection() as conn:
        before = decode_id(query.cursor)
        found = store.list_events(conn, current_player_id(), limit=query.limit + 1, before=before)
    page, next_cursor = paginate(found, query.limit, lambda each: (str(each.id),))
    items = [EventResponse.model_validate(each) for each in page]
    return EventsResponse(items=items, next_cursor=next_cursor).model_dump(mode="json")


def _track(message: str, quest_name: str) -> Response:
    found = _find(quest_name)

    def track() -> dict[str, Any]:
        return {"message": message, "status": status_of(_carry_out(found, claims=False))}

    return run_once(current_player_id(), track)


def _carry_out(found: Quest | DomainError, *, claims: bool) -> Sequence[QuestEvent]:
    if isinstance(found, DomainError):
        raise found
    asked = QuestCommand(current_player_id(), found, claims)
    if idempotency_key() is None:
        return commands.events_or_raise(commands.group_commit.submit(asked))
    with transaction() as conn:  # that of the answer
        return commands.events_or_raise(commands.execute(conn, [asked], datetime.now(UTC))[0])


def _find(name: str) -> Quest | DomainError:
    """Return the quest from the catalog, else the stored one that scans advance, else the error.

    Call this before the transaction of the response, which must not wait for the catalog. Without a catalog, a stored
    response is still valid.
    """
    try:
        return catalog_client.get_quest(name)
    except (NotFound, Unavailable) as error:
        with db.connection() as conn:
            own = definitions.find(conn, name)
        return own.quest if own is not None and own.by_scans else error
