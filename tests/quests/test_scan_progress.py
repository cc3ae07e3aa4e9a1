"""Quests that scans advance, in the transaction that settles them, and retracted scans."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import pytest

from shared.infra.db import Conn
from shared.quests import commands, definitions, scan_progress, store
from shared.quests.commands import QuestCommand
from shared.quests.rewards import RewardDefinition
from shared.scans import batches, settlement
from shared.scans.store import NewScan, list_inventory
from tests.quests.scan_quests import (
    annul,
    assert_in_order,
    come_to,
    make_landmarks,
    make_quest,
    owned,
    read_live_events,
    release,
    state_of,
    visit,
)
from tests.support.factories import (
    AMSTERDAM,
    LISBON,
    SIX_KILOMETERS_OFF,
    code_text,
    make_code,
    make_held_scan,
    make_org,
    make_player,
    submit_scan,
)
from workers import scans as worker

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)


def test_three_scans_in_any_order_complete_a_quest(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org)
    first, second, third = make_landmarks(conn, org)
    for code in (third, third, first):
        visit(conn, player, code)
    assert come_to(conn, player) == (2, 0, 0)
    visit(conn, player, second)
    assert come_to(conn, player) == (0, 1, 0)
    assert [type_ for type_, _ in read_live_events(conn, player)] == [*["quest_progress"] * 3, "quest_completed"]
    assert_in_order(conn)


def test_a_batch_sees_effects_of_earlier_scans_and_pays(conn: Conn) -> None:
    org, players = make_org(conn), [make_player(conn) for _ in range(3)]
    make_quest(conn, org, auto_claim=True)
    codes = make_landmarks(conn, org)
    for code in codes:
        for player in players:
            submit_scan(conn, player, code)
    worker.judge_pending()
    assert {come_to(conn, player) for player in players} == {(0, 1, 1)}
    assert {owned(conn, player) for player in players} == {3}
    assert {held.org_id for player in players for held in list_inventory(conn, player)} == {org}
    assert_in_order(conn)


def test_only_successful_scans_of_the_organization_count(conn: Conn) -> None:
    org, other, player = make_org(conn), make_org(conn), make_player(conn)
    make_quest(conn, org)
    (ours,) = make_landmarks(conn, org, 1, coordinates=AMSTERDAM)
    (theirs,) = make_landmarks(conn, other, 1)
    visit(conn, player, ours, coordinates=SIX_KILOMETERS_OFF)
    visit(conn, player, theirs)
    visit(conn, player, make_code(conn, org, tags=["elsewhere"]))
    assert state_of(conn, player).version == 0
    visit(conn, player, ours, coordinates=AMSTERDAM)
    assert come_to(conn, player) == (1, 0, 0)


def test_ordered_codes_count_within_the_time_limit(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    codes = make_landmarks(conn, org, tags=[])
    names = [code_text(conn, code) for code in codes]
    make_quest(conn, org, tags=[], codes=names, in_order=True, within_seconds=3600)
    # The quest names it by its alias from now on.
    conn.execute("UPDATE qr_codes SET code = 'renamed' WHERE id = %s", (codes[0],))
    start = NOW - 10 * HOUR
    for after, code, progress in ((-0.5, 1, 0), (0, 0, 1), (0.5, 2, 1), (1.5, 1, 1), (2, 0, 1), (2.5, 1, 2), (3, 2, 0)):
        visit(conn, player, codes[code], scanned_at=start + after * HOUR)
        assert come_to(conn, player)[0] == progress, after
    assert come_to(conn, player) == (0, 1, 0)
    assert_in_order(conn)


@pytest.mark.parametrize(("zone", "steps"), [("UTC", 2), ("Pacific/Auckland", 1), ("no/such", 2)])
def test_days_are_counted_in_the_players_time_zone(conn: Conn, zone: str, steps: int) -> None:
    """Noon, and nine in the morning of the next day, UTC. In Auckland it is one day: the 1st and the 22nd hour."""
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org, daily=True)
    (code,) = make_landmarks(conn, org, 1)
    conn.execute("UPDATE players SET timezone = %s WHERE id = %s", (zone, player))
    day = (NOW - timedelta(days=2)).replace(hour=12, minute=0)
    visit(conn, player, code, scanned_at=day)
    visit(conn, player, code, scanned_at=day + 21 * HOUR)
    assert come_to(conn, player)[0] == steps


@pytest.mark.parametrize("order", permutations(range(3)), ids=str)
@pytest.mark.parametrize("way", ["live", "batches", "one batch"])
def test_an_ordered_quest_does_not_depend_on_the_order_of_upload(conn: Conn, order: tuple[int, ...], way: str) -> None:
    """One scan per player and code, so a scan out of order could not be repeated."""
    org, player = make_org(conn), make_player(conn)
    codes = make_landmarks(conn, org, tags=[], per_player_limit=1)
    names = [code_text(conn, code) for code in codes]
    make_quest(conn, org, tags=[], codes=names, in_order=True, within_seconds=3600, auto_claim=True)
    times = [NOW - 5 * HOUR + timedelta(minutes=number) for number in range(3)]
    scans = [NewScan(player, names[n], scanned_at=times[n], nonce=str(n)) for n in order]
    match way:
        case "live":
            for n in order:
                visit(conn, player, codes[n], scanned_at=times[n])
        case "batches":
            for scan in scans:
                batches.accept_all(conn, [scan], sent_at=NOW)
                worker.judge_pending()
        case "one batch":
            batches.accept_all(conn, scans, sent_at=NOW)
            worker.judge_pending()
    assert come_to(conn, player) == (0, 1, 1)
    assert owned(conn, player) == 3
    names_of_events = [type_ for type_, _ in read_live_events(conn, player)]
    assert names_of_events[-2:] == ["quest_completed", "reward_granted"]
    assert_in_order(conn)


def test_a_late_batch_joins_the_scans_before_it(conn: Conn) -> None:
    """Two of its scans are older than the stored ones, one is newer."""
    org, player = make_org(conn), make_player(conn)
    codes = make_landmarks(conn, org, 5, tags=[])
    names = [code_text(conn, code) for code in codes]
    make_quest(conn, org, tags=[], codes=names, streak=5, in_order=True)
    times = [NOW - 5 * HOUR + timedelta(minutes=number) for number in range(5)]
    for numbers in ((2, 3), (4, 0, 1)):
        scans = [NewScan(player, names[n], scanned_at=times[n], nonce=str(n)) for n in numbers]
        batches.accept_all(conn, scans, sent_at=NOW)
        worker.judge_pending()
    assert come_to(conn, player) == (0, 1, 0)
    assert_in_order(conn)


def test_an_inactive_quest_does_not_advance_and_its_organization_still_issues_the_reward(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org, streak=1, within_seconds=None)
    (code,) = make_landmarks(conn, org, 1, reward_item=None, reward_quantity=None)
    visit(conn, player, code)
    assert definitions.set_organization(conn, "walk", None)
    visit(conn, player, code)
    assert come_to(conn, player) == (0, 1, 0)
    (quest,) = [each.quest for each in definitions.list_all(conn) if not each.active]
    # As a catalog server returns it, which does not publish the issuer.
    published = replace(quest, reward=quest.reward and replace(quest.reward, org_id=None))
    (result,) = commands.execute(conn, [QuestCommand(player, published, is_claim=True)], datetime.now(UTC))
    assert [event.data["org_id"] for event in commands.events_or_raise(result)] == [str(org)]
    assert [(held.item, held.org_id) for held in list_inventory(conn, player)] == [("ruby", org)]
    assert_in_order(conn)


def test_a_held_scan_counts_when_it_is_released(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org)
    first, second = make_landmarks(conn, org, 2)
    visit(conn, player, first, coordinates=AMSTERDAM)
    held = visit(conn, player, second, coordinates=LISBON)
    assert come_to(conn, player) == (1, 0, 0)
    release(held)
    assert come_to(conn, player) == (2, 0, 0)


def test_a_held_scan_that_is_released_late_leaves_a_newer_round_alone(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org, within_seconds=3600)
    first, second, third = make_landmarks(conn, org)
    held = make_held_scan(conn, player, first)
    conn.execute("UPDATE player_scans SET scan_time = %s WHERE id = %s", (NOW - 5 * HOUR, held))
    for code in (second, third):
        visit(conn, player, code)
    assert come_to(conn, player) == (2, 0, 0)

    release(held)

    assert come_to(conn, player) == (2, 0, 0)
    noted = conn.execute("SELECT data ->> 'reason' FROM quest_events WHERE type = 'action_ignored'").fetchall()
    assert noted == [("too_old",)]
    visit(conn, player, first)
    assert come_to(conn, player) == (0, 1, 0)
    assert_in_order(conn)


def test_advancing_twice_changes_nothing(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org)
    scan_id = visit(conn, player, make_landmarks(conn, org, 1)[0])
    before = state_of(conn, player)
    scan_progress.advance(conn, [scan_id, scan_id])
    assert state_of(conn, player) == before


def test_one_scan_advances_every_matching_quest(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org, "one")
    make_quest(conn, org, "two", streak=1, auto_claim=True)
    visit(conn, player, make_landmarks(conn, org, 1)[0])
    assert come_to(conn, player, "one") == (1, 0, 0)
    assert come_to(conn, player, "two") == (0, 1, 1)


def test_an_annulled_scan_revokes_progress_and_reward(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org, auto_claim=True)
    codes = make_landmarks(conn, org)
    scans = [visit(conn, player, code) for code in codes]
    assert (come_to(conn, player), owned(conn, player)) == ((0, 1, 1), 3)

    annul(scans[1])

    assert (come_to(conn, player), owned(conn, player)) == ((2, 0, 0), 0)
    assert read_live_events(conn, player)[-1] == ("quest_progress", {"quest": "walk", "progress": 2})
    assert_in_order(conn)
    visit(conn, player, codes[1])
    assert (come_to(conn, player), owned(conn, player)) == ((0, 1, 1), 3)
    annul(scans[0], scans[2])
    assert (come_to(conn, player), owned(conn, player)) == ((1, 0, 0), 0)
    assert_in_order(conn)


def test_a_reward_that_changed_meanwhile_is_revoked_exactly(conn: Conn) -> None:
    """Without the first scan, the only round gives the successor of the ruby."""
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org, streak=2, auto_claim=True)
    codes = make_landmarks(conn, org, 4)
    scans = [visit(conn, player, code) for code in codes[:2]]
    make_quest(conn, org, streak=2, auto_claim=True, reward=RewardDefinition("A pearl", "pearl", 1))
    scans += [visit(conn, player, code) for code in codes[2:]]
    assert (owned(conn, player, "ruby"), owned(conn, player, "pearl")) == (3, 1)

    annul(scans[0])

    assert come_to(conn, player) == (1, 1, 1)
    assert (owned(conn, player, "ruby"), owned(conn, player, "pearl")) == (0, 1)
    assert_in_order(conn)


def test_scans_of_several_players_are_annulled_together(conn: Conn) -> None:
    org, players = make_org(conn), [make_player(conn) for _ in range(3)]
    make_quest(conn, org)
    first, second, _ = make_landmarks(conn, org)
    kept = [visit(conn, player, first) for player in players]
    annul(*(visit(conn, player, second) for player in players))
    assert {come_to(conn, player) for player in players} == {(1, 0, 0)}
    assert len(kept) == 3


def test_a_scan_without_effect_on_quests_can_be_annulled(conn: Conn) -> None:
    annul(visit(conn, make_player(conn), make_code(conn)))
    assert conn.execute("SELECT count(*) FROM quest_events").fetchone() == (0,)


def test_without_an_active_quest_settling_costs_one_query(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, None)
    (code,) = make_landmarks(conn, org, 1)
    monkeypatch.setattr(scan_progress, "SELECT_MATCHES", "must not be asked")
    visit(conn, player, code)
    assert conn.execute("SELECT count(*) FROM quest_events").fetchone() == (0,)


def test_settling_and_advancing_commit_together(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crash between two lines: a scan and what it advanced are committed together."""
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org)
    submit_scan(conn, player, make_landmarks(conn, org, 1)[0])

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(settlement, "add_uses", crash)
        with pytest.raises(KeyboardInterrupt):
            worker.judge_pending()
    assert state_of(conn, player).version == 0
    assert conn.execute("SELECT status FROM player_scans").fetchone() == ("pending",)


def test_quests_with_scans_lists_each_quest_once(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    make_quest(conn, org)
    scans = [visit(conn, player, code) for code in make_landmarks(conn, org)]
    assert store.quests_with_scans(conn, scans) == [(player, "walk")]
    assert store.quests_with_scans(conn, [UUID(int=1)]) == []
