"""Quests: track sign-ins and sign-ups, claim rewards, list the caller's progress."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response
from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, JsonValue, StringConstraints

from shared.errors import DomainError, FieldError, Forbidden, Invalid, NotFound, Unavailable
from shared.infra import db
from shared.quests import catalog_client, commands, definitions, store
from shared.quests.commands import QuestCommand
from shared.quests.quest_views import load_for_player
from shared.quests.rules import Quest, QuestEvent, QuestStatus, status_of
from web.http.auth import current_caller, current_player_id, requires_login, requires_login_or_key
from web.http.idempotency import documents_idempotency_key, idempotency_key, run_once, transaction
from web.http.pagination import PageQuery, decode_cursor, decode_id, paginate
from web.http.schemas import Id, OptionalBody, Query, ResponseModel, Timestamp
from web.http.settings import current_settings

api = APIBlueprint("quests", __name__, url_prefix="/api/v1", abp_tags=[Tag(name="Quests")])


QuestName = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ClaimBody(OptionalBody):
    """The quest whose reward is claimed, if the query does not name it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"quest_name": "sign-in-three-times"}]})

    quest_name: QuestName | None = Field(None, description="Name of the quest")


class ClaimQuery(Query):
    quest_name: QuestName | None = Field(None, description="Name of the quest, instead of the body")


class TrackBody(OptionalBody):
    """The player whose action is tracked, if an API key submits it. A player may leave the body out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    player_id: Id | None = Field(None, description="Required for an API key. For a player, their own id")
    user_id: JsonValue = Field(None, description="Ignored. Clients of an older service send it", examples=[3])


class TrackedResponse(ResponseModel):
    message: Literal["Sign-in tracked", "Sign-up tracked"]
    status: QuestStatus


class QuestRewardResponse(ResponseModel):
    item: str
    qty: int
    org_id: Id | None = Field(None, description="Issuer of the item; null: the installation")


class ClaimedResponse(ResponseModel):
    message: Literal["Reward claimed successfully"]
    reward: QuestRewardResponse


class QuestResponse(ResponseModel):
    """A quest and the caller's progress: `progress` of `streak` steps since the last completion."""

    name: str
    description: str
    streak: int
    duplication: int = Field(description="How often it can be completed")
    auto_claim: bool
    daily: bool = Field(description="Each day counts once, in the player's time zone")
    grace_days: int = Field(description="Days that may be missed between two counted days. One more ends the streak")
    min_interval_seconds: int = Field(description="An action so soon after the last step does not count")
    by_scans: bool = Field(description="True if scans advance it")
    org_id: Id | None = Field(None, description="The organization whose codes advance it; null: the installation")
    organization: str | None = Field(None, description="Name of this organization", examples=["City quest"])
    reward: QuestRewardResponse | None
    status: QuestStatus
    progress: int
    days: list[date] = Field(
        description="The days of a daily quest that count toward `progress`, or toward the last completion if it is 0."
        " Empty if late or annulled scans have changed them",
        examples=[["2026-11-24", "2026-11-25"]],
    )
    completions: int
    claims: int
    claimable: int


class QuestsResponse(ResponseModel):
    items: list[QuestResponse]
    next_cursor: str | None


class EventResponse(ResponseModel):
    """An event of a quest, with the data that decided it."""

    id: Id
    quest: str
    version: int = Field(description="The position among the player's events of this quest, from 1")
    type: Literal[
        "quest_step",
        "quest_completed",
        "reward_claimed",
        "action_ignored",
        "scans_reordered",
        "scans_retracted",
        "reward_revoked",
    ]
    scan_id: Id | None
    data: dict[str, Any]
    at: Timestamp


class EventsResponse(ResponseModel):
    items: list[EventResponse]
    next_cursor: str | None


@api.post("/track/signin", responses={200: TrackedResponse, 403: None, 404: None, 409: None})
@requires_login_or_key("track")
@documents_idempotency_key
def track_signin(body: TrackBody) -> Response:
    """Track a sign-in

    Counts a step of the quest that `SIGNIN_QUEST` names. For the player, or an API key with the scope `track` for any
    player. With `TRACK_REQUIRES_KEY=true`, only for such a key.
    """
    return _track(body.player_id, "Sign-in tracked", current_settings().signin_quest)


@api.post("/track/signup", responses={200: TrackedResponse, 403: None, 404: None, 409: None})
@requires_login_or_key("track")
@documents_idempotency_key
def track_signup(body: TrackBody) -> Response:
    """Track a sign-up

    Counts a step of the quest that `SIGNUP_QUEST` names. For the player, or an API key with the scope `track` for any
    player. With `TRACK_REQUIRES_KEY=true`, only for such a key.
    """
    return _track(body.player_id, "Sign-up tracked", current_settings().signup_quest)


@api.post("/track/claim_reward", responses={200: ClaimedResponse, 404: None, 409: None, 410: None})
@requires_login
@documents_idempotency_key
def claim_reward(query: ClaimQuery, body: ClaimBody) -> Response:
    """Claim the reward of a completed quest

    The body names the quest, or the query does, as older clients send it. Each completion is claimed once, however many
    requests race. 409 if the quest is not completed, has no reward, or was claimed as often as allowed. 410 if its
    organization is closed.
    """
    if (query.quest_name is None) == (body.quest_name is None):
        raise Invalid(FieldError("body.quest_name", "Give quest_name in the body or in the query."))
    quest = _find(query.quest_name or body.quest_name or "")

    def claim() -> dict[str, Any]:
        claimed = next(
            event.data
            for event in _execute(current_player_id(), quest, is_claim=True)
            if event.type == "reward_claimed"
        )
        reward = {"item": claimed["item"], "qty": claimed["quantity"]}
        # Clients of the older quest service expect exactly these two fields of a quest of the installation.
        issuer = {"org_id": claimed["org_id"]} if "org_id" in claimed else {}
        return {"message": "Reward claimed successfully", "reward": reward | issuer}

    return run_once(current_player_id(), claim)


@api.get("/quests", responses={200: QuestsResponse})
@requires_login
def list_quests(query: PageQuery) -> dict[str, Any]:
    """List quests with the caller's progress

    Ordered by name: those that sign-ins and sign-ups advance, active ones of organizations, and those that the caller
    has progress on. Any player may call it.
    """
    after = decode_cursor(query.cursor, 1)[0] if query.cursor else ""
    limit = query.limit + 1
    with db.connection() as conn:
        loaded = load_for_player(conn, current_player_id(), after=after, limit=limit)
    # Without the connection, which must not wait for a catalog.
    quests = loaded.views(catalog_client.get_quest, limit)
    page, next_cursor = paginate(quests, query.limit, lambda quest: (quest.name,))
    items = [QuestResponse.model_validate(quest) for quest in page]
    return QuestsResponse(items=items, next_cursor=next_cursor).model_dump(mode="json")


@api.get("/quests/events", responses={200: EventsResponse})
@requires_login
def list_events(query: PageQuery) -> dict[str, Any]:
    """List the caller's quest events

    Newest first. The caller's progress is computed from these events.
    """
    with db.connection() as conn:
        before = decode_id(query.cursor)
        events = store.list_events(conn, current_player_id(), limit=query.limit + 1, before=before)
    page, next_cursor = paginate(events, query.limit, lambda event: (str(event.id),))
    items = [EventResponse.model_validate(event) for event in page]
    return EventsResponse(items=items, next_cursor=next_cursor).model_dump(mode="json")


def _track(player_id: UUID | None, message: str, quest_name: str) -> Response:
    player_id = _tracked_player(player_id)
    quest = _find(quest_name)

    def track() -> dict[str, Any]:
        return {"message": message, "status": status_of(_execute(player_id, quest, is_claim=False))}

    return run_once(current_caller().id, track)


def _tracked_player(player_id: UUID | None) -> UUID:
    """Return the player whose action the caller may track. Raise Forbidden or Invalid."""
    caller, settings = current_caller(), current_settings()
    if caller.key is not None:
        if settings.track_organizations and caller.key.org_id not in settings.track_organizations:
            raise Forbidden("Keys of this organization cannot track actions here.")
        if player_id is None:
            raise Invalid(FieldError("body.player_id", "Give player_id with an API key."))
        return player_id
    if settings.track_requires_key:
        raise Forbidden("Only a service with an API key of the scope track can submit this.")
    if player_id is not None and player_id != caller.player_id:
        raise Forbidden("player_id must be your own.")
    return current_player_id()


def _execute(player_id: UUID, quest: Quest | DomainError, *, is_claim: bool) -> Sequence[QuestEvent]:
    if isinstance(quest, DomainError):
        raise quest
    command = QuestCommand(player_id, quest, is_claim, by_key=current_caller().key is not None)
    if idempotency_key() is None:
        return commands.events_or_raise(commands.group_commit.submit(command))
    # The transaction that stores the response.
    with transaction() as conn:
        return commands.events_or_raise(commands.execute(conn, [command], datetime.now(UTC))[0])


def _find(name: str) -> Quest | DomainError:
    """Return the quest of the catalog, else Waymark's own quest if scans advance it, else the error to raise.

    Called before the transaction of the response, which must not wait for a catalog. The error is raised later, so that
    a stored response of an earlier request is still returned.
    """
    try:
        return catalog_client.get_quest(name)
    except (NotFound, Unavailable) as error:
        with db.connection() as conn:
            own = definitions.find(conn, name)
        return own.quest if own is not None and own.by_scans else error
