"""The rules of quests. Pure: `decide` returns the events of an action, `evolve` the state after an event.

Actions are decided in the order of their own time. `reordering.py` decides one that arrives late. An event carries the
inputs of its decision, so a player's state can be computed from their events alone, whatever the catalog says now.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.errors import Conflict
from shared.quests.days import STEP_INTERVAL, days_between, time_zone_or_utc

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


class QuestNotCompleted(Conflict):
    """This quest is not completed yet."""


class NoReward(Conflict):
    """This quest gives no reward."""


class RewardFullyClaimed(Conflict):
    """This reward was claimed as often as allowed."""


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
            at=_acted_at(event),
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


def decide(state: QuestState, command: QuestAction | ClaimReward, quest: Quest) -> list[QuestEvent]:
    """Return the events of a command. Raises NoReward, RewardFullyClaimed, QuestNotCompleted."""
    return _claim(state, command, quest) if isinstance(command, ClaimReward) else _track(state, command, quest)


def evolve(state: QuestState, event: QuestEvent) -> QuestState:
    """Return the state after an event."""
    version, data = state.version + 1, event.data
    match event.type:
        case "quest_step":
            has_code = "day" not in data and "code_id" in data
            step = Step(UUID(data["code_id"]), _acted_at(event)) if has_code else None
            stepped_at = datetime.fromisoformat(data["stepped_at"]) if "stepped_at" in data else None
            return _after_event(after_step(state, step, stepped_at, lapsed="lapsed" in data), event)
        case "action_ignored":
            return _after_event(state, event)
        case "quest_completed":
            return replace(after_completion(state), version=version)
        case "reward_claimed":
            return replace(state, version=version, claims=state.claims + 1)
        case "reward_revoked":
            return replace(state, version=version, claims=state.claims - 1)
        case "scans_reordered" | "scans_retracted":
            return replace(state_from_json(data["after"]), version=version, claims=state.claims)
        case _:
            return replace(state, version=version)


def after_step(state: QuestState, step: Step | None, stepped_at: datetime | None, *, lapsed: bool) -> QuestState:
    """Return the state with one more step, or with this one only if the steps before it have lapsed."""
    steps = () if lapsed else state.steps
    return replace(
        state,
        progress=1 if lapsed else state.progress + 1,
        steps=steps if step is None else (*steps, step),
        last_step_at=stepped_at or state.last_step_at,
    )


def after_completion(state: QuestState) -> QuestState:
    """Return the state at the start of the next round."""
    return replace(state, progress=0, completions=state.completions + 1, steps=())


def _after_event(state: QuestState, event: QuestEvent) -> QuestState:
    """Return the state with the version, and with the time and zone of the action if it is the newest one."""
    version = state.version + 1
    if "scanned_at" in event.data or "time_zone" in event.data:
        at = _acted_at(event)
        if state.last_action_at is None or at >= state.last_action_at:
            return replace(state, version=version, last_action_at=at, last_zone=event.data.get("time_zone"))
    return replace(state, version=version)


def _acted_at(event: QuestEvent) -> datetime:
    """Return the own time of the action. A scan happened before its event."""
    return datetime.fromisoformat(event.data["scanned_at"]) if "scanned_at" in event.data else event.at


def fold(events: Iterable[QuestEvent], state: QuestState | None = None) -> QuestState:
    """Return the state after these events. Without `state`, start from the initial one."""
    state = QuestState() if state is None else state
    for event in events:
        state = evolve(state, event)
    return state


def status_of(events: Sequence[QuestEvent]) -> QuestStatus:
    """Return the `status` of the response to an action with these events."""
    types = {event.type for event in events}
    if "reward_claimed" in types:
        return "claimed"
    if "quest_completed" in types:
        return "completed"
    if any(event.data.get("reason") == "max_completions_reached" for event in events):
        return "max_completions_reached"
    return "in_progress"


def indexes_of(
    texts: Collection[str], tags: Sequence[str], *, codes: Sequence[str], wanted_tags: Sequence[str]
) -> tuple[int, ...]:
    """Return the indexes of a code in a quest's list of codes, or of its tags. Empty if the quest does not name it.

    `texts` has the text of the code and its aliases.
    """
    if codes:
        return tuple(index for index, wanted_code in enumerate(codes) if wanted_code in texts)
    return tuple(index for index, wanted_tag in enumerate(wanted_tags) if wanted_tag in tags)


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


def _claim(state: QuestState, command: ClaimReward, quest: Quest) -> list[QuestEvent]:
    if quest.reward is None:
        raise NoReward
    if state.is_claimable:
        return [claimed(state, command.at, quest.reward, quest.terms())]
    raise RewardFullyClaimed if state.claims >= quest.duplication else QuestNotCompleted


def claimed(state: QuestState, at: datetime, reward: QuestReward, terms: Mapping[str, Any]) -> QuestEvent:
    """Return the claim of the oldest completion that is not claimed yet."""
    claim = {"completion": state.claims + 1, **reward.to_json(), "terms": terms}
    return QuestEvent("reward_claimed", at, claim)


def _track(state: QuestState, action: QuestAction, quest: Quest) -> list[QuestEvent]:
    reason, lapsed, completes = judge(state, action, quest)
    data = action.data(quest)
    if reason is not None:
        events = [QuestEvent("action_ignored", action.at, data | {"reason": reason}, action.scan_id)]
    else:
        if quest.step_interval is not None:
            data["stepped_at"] = action.at.isoformat()
        events = [QuestEvent("quest_step", action.at, data | ({"lapsed": True} if lapsed else {}), action.scan_id)]
    if completes:
        events.append(QuestEvent("quest_completed", action.at, {"terms": data["terms"]}))
        if quest.auto_claim and quest.reward is not None:
            events.append(claimed(state, action.at, quest.reward, data["terms"]))
    return events


class Judgment(NamedTuple):
    """What an action does to a quest."""

    reason: IgnoredReason | None
    """Why it is ignored. None: it is a step."""
    lapsed: bool
    """Whether the steps before it have expired."""
    completes: bool
    """Whether it completes the quest."""


def judge(state: QuestState, action: QuestAction, quest: Quest) -> Judgment:
    """Return what an action does.

    An ignored action completes a quest whose goal is lower than when the steps of the player were made: there may be no
    code left that could be the next step.
    """
    lapsed = _is_lapsed(state, action, quest)
    current = replace(state, progress=0, steps=()) if lapsed else state
    reason = _ignored_reason(current, action, quest)
    progress = current.progress + (reason is None)
    return Judgment(reason, lapsed, reason != "max_completions_reached" and progress >= quest.streak)


def _is_lapsed(state: QuestState, action: QuestAction, quest: Quest) -> bool:
    """Return whether the steps of the current round or streak have expired."""
    if quest.daily:
        if state.last_action_at is None or state.last_zone is None:
            return False
        zone = time_zone_or_utc(state.last_zone)
        return days_between(state.last_action_at, zone, action.at, action.zone) > 1 + quest.grace_days
    if quest.within is None or not state.steps:
        return False
    return action.at - min(step.at for step in state.steps) > quest.within


def _is_day_counted(state: QuestState, action: QuestAction) -> bool:
    """True if the last step was on this date, in the zone in which the player is now."""
    return state.last_step_at is not None and action.day <= state.last_step_at.astimezone(action.zone).date()


def _is_too_soon(state: QuestState, action: QuestAction, quest: Quest) -> bool:
    """True if an action is within the least time between two steps."""
    if quest.step_interval is None or state.last_step_at is None:
        return False
    return action.at - state.last_step_at < quest.step_interval


def _is_too_old(state: QuestState, action: QuestAction, quest: Quest) -> bool:
    """True if an action that arrives late is too old to be a step of the current round."""
    if quest.within is None or not state.steps:
        return False
    return max(step.at for step in state.steps) - action.at > quest.within


def _ignored_reason(state: QuestState, action: QuestAction, quest: Quest) -> IgnoredReason | None:
    """Return why the action is ignored, or None if it is a step."""
    if state.completions >= quest.duplication:
        return "max_completions_reached"
    if quest.daily and _is_day_counted(state, action):
        return "day_already_counted"
    if _is_too_soon(state, action, quest):
        return "too_soon"
    if quest.daily:
        return None
    if _is_too_old(state, action, quest):
        return "too_old"
    if quest.in_order:
        return None if len(state.steps) in action.indexes else "out_of_order"
    if quest.by_scans and action.code_id in {step.code_id for step in state.steps}:
        return "already_visited"
    return None
