"""Values that the rules of quests take and return, and their JSON. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.quests.days import STEP_INTERVAL, time_zone_or_utc

QuestStatus = Literal["in_progress", "completed", "claimed", "max_completions_reached"]
EventType = Literal[
    "quest_step",
    "quest_completed",
    "reward_claimed",
    "action_ignored",
    "scans_reordered",
    "scans_retracted",
    "reward_revoked",
]
ACTION_EVENTS = ("quest_step", "action_ignored", "scans_reordered")
"""Types of the first event of an action, which has its data."""
IgnoredReason = Literal[
    "max_completions_reached",
    "day_already_counted",
    "already_visited",
    "out_of_order",
    "too_soon",
    "too_old",
    "undoes_completion",
]
"""Why an action was ignored. The last two are of actions that arrive late."""


@dataclass(frozen=True)
class QuestReward:
    """The reward of a completion. `org_id` is its issuer, or None for a quest of the installation."""

    item: str
    quantity: int
    org_id: UUID | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the reward ready for JSON, without the issuer of a quest of the installation."""
        issuer = {} if self.org_id is None else {"org_id": str(self.org_id)}
        return {"item": self.item, "quantity": self.quantity} | issuer

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "QuestReward":
        """Return the reward from the result of `to_json`."""
        org_id = content.get("org_id")
        return cls(content["item"], content["quantity"], None if org_id is None else UUID(org_id))


@dataclass(frozen=True)
class Quest:
    """A quest: `streak` steps make a completion, and `duplication` completions are possible.

    `daily`: one step counts per day, and per 20 hours. The streak starts again after more than `grace_days` days
    without an action.
    `by_scans`: scans advance it. Each code counts once per round, or in the order of the quest if `in_order`. A round
    that takes longer than `within` lapses. An action within `min_interval` after the last step is not a step.
    """

    name: str
    streak: int
    duplication: int
    auto_claim: bool = False
    reward: QuestReward | None = None
    daily: bool = False
    grace_days: int = 0
    by_scans: bool = False
    in_order: bool = False
    within: timedelta | None = None
    min_interval: timedelta | None = None

    @property
    def step_interval(self) -> timedelta | None:
        """Return the least time between two steps, if there is one."""
        return max(self.min_interval or STEP_INTERVAL, STEP_INTERVAL) if self.daily else self.min_interval

    def terms(self) -> dict[str, Any]:
        """Return the terms of the quest, ready for JSON. An event stores the terms by which it was decided."""
        terms: dict[str, Any] = {"streak": self.streak, "duplication": self.duplication, "auto_claim": self.auto_claim}
        if self.reward is not None:
            terms["reward"] = self.reward.to_json()
        if self.daily:
            terms |= {"daily": True, "grace_days": self.grace_days}
        if self.by_scans:
            terms |= {"by_scans": True, "in_order": self.in_order}
        if self.within is not None:
            terms["within_seconds"] = self.within.total_seconds()
        if self.min_interval is not None:
            terms["min_interval_seconds"] = self.min_interval.total_seconds()
        return terms

    @classmethod
    def from_terms(cls, terms: Mapping[str, Any], name: str = "") -> "Quest":
        """Return the quest with these terms, as an event stores them."""
        fields = dict(terms)
        if (reward := fields.pop("reward", None)) is not None:
            fields["reward"] = QuestReward.from_json(reward)
        if (seconds := fields.pop("within_seconds", None)) is not None:
            fields["within"] = timedelta(seconds=seconds)
        if (seconds := fields.pop("min_interval_seconds", None)) is not None:
            fields["min_interval"] = timedelta(seconds=seconds)
        return cls(name, **fields)


@dataclass(frozen=True)
class Step:
    """A code that was scanned in the current round."""

    code_id: UUID
    at: datetime


@dataclass(frozen=True)
class QuestState:
    """The progress of a player in a quest. `version` is the number of its events.

    `last_step_at` is set in a quest with a least time between two steps. `last_action_at` is the time of the newest
    action of a scan or in a daily quest, and `last_zone` the player's time zone then, in a daily quest.
    """

    version: int = 0
    progress: int = 0
    completions: int = 0
    claims: int = 0
    steps: tuple[Step, ...] = ()
    last_step_at: datetime | None = None
    last_action_at: datetime | None = None
    last_zone: str | None = None

    @property
    def is_claimable(self) -> bool:
        return self.completions > self.claims


@dataclass(frozen=True)
class QuestAction:
    """A tracked action: a sign-in, a sign-up or a scan, in the player's time zone.

    `indexes` are the positions of the scanned code in an ordered quest.
    """

    at: datetime
    zone: ZoneInfo
    scan_id: UUID | None = None
    code_id: UUID | None = None
    indexes: tuple[int, ...] = ()

    @property
    def day(self) -> date:
        """Return the local date."""
        return self.at.astimezone(self.zone).date()

    @property
    def order(self) -> tuple[datetime, tuple[int, ...], int]:
        """Return the place among other actions. Of two codes scanned at one time, the first of the quest is first."""
        return self.at, self.indexes, self.code_id.int if self.code_id else 0

    def data(self, quest: Quest) -> dict[str, Any]:
        """Return the data of its event: what the decision depends on, ready for JSON."""
        data: dict[str, Any] = {"terms": quest.terms()}
        if quest.daily:
            data |= {"day": self.day.isoformat(), "time_zone": self.zone.key}
        if self.code_id is not None:
            data |= {"code_id": str(self.code_id), "scanned_at": self.at.isoformat(), "indexes": list(self.indexes)}
        return data

    @classmethod
    def of_event(cls, event: "QuestEvent") -> "QuestAction":
        """Return the action that an event was decided for."""
        data = event.data
        return cls(
            at=acted_at(event),
            zone=time_zone_or_utc(data.get("time_zone", "UTC")),
            scan_id=event.scan_id,
            code_id=UUID(data["code_id"]) if "code_id" in data else None,
            indexes=tuple(data.get("indexes", ())),
        )


@dataclass(frozen=True)
class ClaimReward:
    """Claims the reward of the oldest unclaimed completion."""

    at: datetime


@dataclass(frozen=True)
class QuestEvent:
    """A change of a quest's state, with the inputs of its decision. The data is ready for JSON."""

    type: EventType
    at: datetime
    data: Mapping[str, Any] = field(default_factory=dict)
    scan_id: UUID | None = None


def acted_at(event: QuestEvent) -> datetime:
    """Return the own time of the action. A scan happened before its event."""
    return datetime.fromisoformat(event.data["scanned_at"]) if "scanned_at" in event.data else event.at


def state_to_json(state: QuestState) -> dict[str, Any]:
    """Return the state ready for JSON, without its version and its claims."""
    return {
        "progress": state.progress,
        "completions": state.completions,
        "steps": [[str(step.code_id), step.at.isoformat()] for step in state.steps],
        "last_step_at": state.last_step_at and state.last_step_at.isoformat(),
        "last_action_at": state.last_action_at and state.last_action_at.isoformat(),
        "last_zone": state.last_zone,
    }


def state_from_json(content: Mapping[str, Any]) -> QuestState:
    """Return the state from the result of `state_to_json`."""
    return QuestState(
        progress=content["progress"],
        completions=content["completions"],
        steps=steps_from_json(content["steps"]),
        last_step_at=_time_or_none(content["last_step_at"]),
        last_action_at=_time_or_none(content["last_action_at"]),
        last_zone=content["last_zone"],
    )


def steps_from_json(steps: Iterable[Sequence[str]]) -> tuple[Step, ...]:
    """Return the steps of a result of `state_to_json`."""
    return tuple(Step(UUID(code), datetime.fromisoformat(at)) for code, at in steps)


def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
