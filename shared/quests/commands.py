"""Executes commands: reads states, applies the rules, appends events. Retries after a concurrent update."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import psycopg

from shared.errors import Conflict, DomainError, OrganizationClosed, PlayerNotFound, Unavailable
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.relay_wakeup import wake_relay
from shared.quests import store
from shared.quests.group_commit import GroupCommit
from shared.quests.rules import ClaimReward, Quest, QuestAction, QuestEvent, decide, fold
from shared.quests.store import Change, PlayerQuest, PlayerQuestKey

ATTEMPTS = 5
MAX_BATCH = 200


class TooManyConcurrentUpdates(Unavailable):
    """Too many concurrent updates to this quest. Retry shortly."""


class QuestAdvancedByScans(Conflict):
    """This quest is advanced by scans."""


@dataclass(frozen=True)
class QuestCommand:
    """A request on a quest of a player: to track an action, or to claim the reward of a completion.

    `by_key` is true if an API key submitted it, perhaps of an organization that the player does not know.
    """

    player_id: UUID
    quest: Quest
    is_claim: bool
    by_key: bool = False

    @property
    def key(self) -> PlayerQuestKey:
        return self.player_id, self.quest.name


CommandResult = Sequence[QuestEvent] | Exception
"""The events of a command, or the error that refused it."""


def execute(conn: Conn, commands: Sequence[QuestCommand], now: datetime) -> list[CommandResult]:
    """Execute the commands with two statements in all. Return their results in order.

    Errors are returned, not raised, so one player's error does not affect the others. The first attempt takes no locks.
    Commands that a concurrent update prevented are retried behind a lock.
    """
    results: dict[int, CommandResult] = {}
    for attempt in range(ATTEMPTS):
        open_ = {number: command for number, command in enumerate(commands) if number not in results}
        if not open_:
            break
        if attempt == 0:
            results |= _attempt(conn, open_, now)
        else:
            with conn.transaction():
                store.lock_states(conn, (command.key for command in open_.values()))
                results |= _attempt(conn, open_, now)
    return [results.get(number, TooManyConcurrentUpdates()) for number in range(len(commands))]


def _attempt(conn: Conn, commands: dict[int, QuestCommand], now: datetime) -> dict[int, CommandResult]:
    player_quests = store.load_player_quests(conn, (command.key for command in commands.values()))
    decided, changes = _decide(commands, player_quests, now)
    unwritten = {change.key for change in changes} - store.append_events(conn, changes)
    return {number: result for number, result in decided.items() if commands[number].key not in unwritten}


def events_or_raise(result: CommandResult) -> Sequence[QuestEvent]:
    """Return the events of a result, or raise its error."""
    if isinstance(result, Exception):
        raise result
    return result


def execute_batch(commands: Sequence[QuestCommand]) -> list[CommandResult]:
    """Execute the commands of concurrent requests on one connection. If the statement fails, execute each alone."""
    try:
        with db.connection() as conn:
            results = execute(conn, commands, datetime.now(UTC))
        wake_relay()
        return results
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        if len(commands) == 1:
            return [error]
    return [result for command in commands for result in execute_batch([command])]


group_commit: GroupCommit[QuestCommand, CommandResult] = GroupCommit(execute_batch, limit=MAX_BATCH)
"""The commands of this process: those that arrive while a batch is committed form the next."""


def _decide(
    commands: dict[int, QuestCommand], player_quests: dict[PlayerQuestKey, PlayerQuest], now: datetime
) -> tuple[dict[int, CommandResult], list[Change]]:
    """Return the results, and the changes to append. A player's second command sees the effect of the first."""
    results: dict[int, CommandResult] = {}
    changes: dict[PlayerQuestKey, Change] = {}
    for number, command in commands.items():
        player_quest = player_quests.get(command.key)
        if player_quest is None:
            results[number] = PlayerNotFound()
            continue
        if player_quest.is_closed:
            results[number] = OrganizationClosed()
            continue
        if player_quest.by_scans and not command.is_claim:
            results[number] = QuestAdvancedByScans()
            continue
        change = changes.get(command.key)
        state = change.after if change else player_quest.state
        quest = player_quest.own or command.quest
        if player_quest.daily:
            quest = replace(quest, daily=True, grace_days=player_quest.grace_days)
        if player_quest.org_id is not None and quest.reward is not None:
            quest = replace(quest, reward=replace(quest.reward, org_id=player_quest.org_id))
        quest = replace(quest, min_interval=player_quest.min_interval)
        try:
            events = decide(state, ClaimReward(now) if command.is_claim else QuestAction(now, player_quest.zone), quest)
        except DomainError as error:
            results[number] = error
            continue
        results[number] = events
        if not _is_recorded(command, events):
            continue
        before, earlier = (change.before, change.events) if change else (player_quest.state, ())
        changes[command.key] = Change(*command.key, before, fold(events, state), (*earlier, *events))
    return results, list(changes.values())


def _is_recorded(command: QuestCommand, events: Sequence[QuestEvent]) -> bool:
    """Return whether the events are stored. An ignored action of an API key is not: keys could fill a player's list."""
    return not command.by_key or any(event.type != "action_ignored" for event in events)
