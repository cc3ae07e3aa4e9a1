"""Simulation of a quest of an organization over HTTP. It stores nothing."""

from typing import Annotated, Any, Literal, Self

from flask_openapi import APIBlueprint, Tag
from pydantic import ConfigDict, Field, StringConstraints, model_validator

from shared.errors import NotFound
from shared.infra import db
from shared.infra.event_loop import run_in_thread
from shared.quests import organization_quests as store
from shared.quests import simulation
from shared.quests.days import time_zone_or_utc
from shared.quests.schemas import QuestEntry, QuestName
from shared.quests.simulation import NotCountedReason
from web.http.auth import requires_role
from web.http.schemas import Body, Id, OrganizationPath, ResponseModel, Timestamp, TimeZone

api = APIBlueprint(
    "quest_simulation",
    __name__,
    url_prefix="/api/organizations/<org_id>/quests",
    abp_tags=[Tag(name="Quests")],
)

MAX_EVENTS = 1_000


class SimulatedEventBody(Body):
    """A successful scan of a code, or another action."""

    qr_code: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="Text of the scanned code", examples=["spy123"]
    )
    action: Literal["signin", "signup"] | None = Field(
        None, description="Another action, instead of `qr_code`. It advances no quest of an organization"
    )
    at: Timestamp = Field(description="When it happens")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.qr_code is None) == (self.action is None):
            raise ValueError("Give either qr_code or action.")
        return self


class SimulateQuestBody(Body):
    """A quest, and what a player does."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "quest": {"name": "harbor-trail", "streak": 1, "tags": ["landmark"]},
                    "events": [{"qr_code": "spy123", "at": "2026-02-12T10:00:00Z"}],
                    "timezone": "Europe/Amsterdam",
                }
            ]
        }
    )

    quest: QuestEntry | None = Field(None, description="A definition, perhaps a changed one of an existing quest")
    name: QuestName | None = Field(None, description="Instead of `quest`: name of a quest", examples=[None])
    events: Annotated[list[SimulatedEventBody], Field(max_length=MAX_EVENTS)] = Field(
        description="What the player does, in any order"
    )
    timezone: TimeZone = "UTC"

    @model_validator(mode="after")
    def _one_quest(self) -> Self:
        if (self.quest is None) == (self.name is None):
            raise ValueError("Give either quest or name.")
        return self


class SimulatedRewardResponse(ResponseModel):
    item: str = Field(description="Name of the item", examples=["badge"])
    quantity: int = Field(description="Number of items")
    org_id: Id = Field(description="Issuer of the item")


class SimulatedStepResponse(ResponseModel):
    """What an event does, and the progress after it."""

    at: Timestamp = Field(description="When it happens")
    qr_code: str | None = Field(description="Text of the scanned code; null: another action")
    action: str | None = Field(description="The other action; null: a scan")
    counted: bool = Field(description="True if it is a step")
    ignored_reason: NotCountedReason | None = Field(description="Why it is no step; null: it is one", examples=[None])
    progress: int = Field(description="Steps since the last completion")
    completions: int = Field(description="Completions until then")
    completed: bool = Field(description="True if it completes the quest")
    reward: SimulatedRewardResponse | None = Field(description="Reward that the completion claims automatically")


class ChangeEffectResponse(ResponseModel):
    """What the definition would do to players of the existing quest of this name."""

    players_in_progress: int = Field(description="Players with steps since their last completion", examples=[12])
    would_complete: int = Field(description="Those whose steps reach the goal: their next scan completes the quest")
    message: str = Field(
        description="The same in sentences",
        examples=["12 players are in progress. Their progress is kept and counts toward the new goal."],
    )


class QuestSimulationResponse(ResponseModel):
    steps: list[SimulatedStepResponse] = Field(description="The events in the order of their times")
    progress: int = Field(description="Steps since the last completion, after all events")
    completions: int = Field(description="Completions by all events")
    effect: ChangeEffectResponse = Field(description="What the definition would do to players of this quest")


@api.post("/simulate", responses={200: QuestSimulationResponse})
@requires_role("admin")
def simulate_quest(path: OrganizationPath, body: SimulateQuestBody) -> dict[str, Any]:
    """Simulate a quest

    Needs the role admin. Stores nothing. Each event with `qr_code` is a successful scan of a player without progress:
    the limits of codes are not checked. `effect` says what the definition would do to players in progress on the quest
    of this name.
    """
    with db.connection() as conn:
        existing = store.find(conn, path.org_id, body.name or (body.quest.name if body.quest else ""))
        if body.quest is not None:
            definition = body.quest.definition()
            store.check(conn, path.org_id, {"body.quest": definition})
        elif existing is not None:
            definition = existing
        else:
            raise NotFound
        texts = [event.qr_code for event in body.events if event.qr_code is not None]
        codes = store.find_codes(conn, path.org_id, texts, definition)
        effect = store.effect_of(conn, definition) if existing else simulation.ChangeEffect(0, 0)
    actions = [
        simulation.SimulatedAction(event.at, event.qr_code, event.action, *codes.get(event.qr_code or "", (None, ())))
        for event in body.events
    ]
    quest = simulation.quest_of(definition, path.org_id)
    steps = run_in_thread(lambda: simulation.simulate(quest, actions, time_zone_or_utc(body.timezone)))
    last = steps[-1] if steps else None
    response = {
        "steps": steps,
        "progress": last.progress if last else 0,
        "completions": last.completions if last else 0,
        "effect": effect,
    }
    return QuestSimulationResponse.model_validate(response).model_dump(mode="json")
