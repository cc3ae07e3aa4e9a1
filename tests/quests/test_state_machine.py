"""After any actions, uploads and crashes, states are folds, and each completion is paid once."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.infra.timestamps import format_rfc3339
from shared.quests import catalog_client, commands, store
from shared.quests.rewards import RewardDefinition
from shared.quests.rules import Quest, QuestReward
from shared.scans import settlement
from tests.quests.scan_quests import annul, assert_in_order, make_landmarks, make_quest, owned, state_of
from tests.support.callers import SignedInPlayer, sign_in
from tests.support.database import empty_database
from tests.support.factories import code_text, make_org, submit_scan
from workers import scans as worker

SIGNIN = Quest("sign-in-three-times", streak=3, duplication=2, reward=QuestReward("coin", 10))
WALK = Quest("walk", streak=2, duplication=2, auto_claim=True, reward=QuestReward("ruby", 3), by_scans=True)
TRAIL = Quest("trail", streak=2, duplication=2, reward=QuestReward("pearl", 1), by_scans=True, in_order=True)
DAYS = Quest("days", streak=2, duplication=9, reward=QuestReward("ring", 1), by_scans=True, daily=True)
PEARL = RewardDefinition("A pearl", "pearl", 1)
QUESTS = {quest.name: quest for quest in (SIGNIN, WALK, TRAIL, DAYS)}
RING = RewardDefinition("A ring", "ring", 1)

players = st.integers(0, 1)
codes = st.integers(0, 2)
hours = st.integers(0, 60)
"""How long ago a scan was made offline."""


class Crash(BaseException):
    """The process dies."""


def a_catalog(name: str) -> Quest:
    if name not in QUESTS:
        raise catalog_client.QuestNotFound
    return QUESTS[name]


class Game(RuleBasedStateMachine):
    app: Any
    conn: Conn

    @initialize()
    def begin(self) -> None:
        empty_database(self.conn)
        org = make_org(self.conn)
        self.codes = make_landmarks(self.conn, org, 3)
        texts = [code_text(self.conn, code) for code in self.codes]
        make_quest(self.conn, org, "walk", streak=2, auto_claim=True)
        make_quest(self.conn, org, "trail", streak=2, tags=[], codes=texts[:2], in_order=True, reward=PEARL)
        make_quest(self.conn, org, "days", streak=2, duplication=9, daily=True, reward=RING)
        self.texts = texts
        self.people: list[SignedInPlayer] = [sign_in(self.app, self.conn) for _ in range(2)]
        self.scans: list[UUID] = []
        self.annulled: set[UUID] = set()
        self.signed_in = [0, 0]

    def call(self, player: int, path: str, body: Any = None, key: str | None = None) -> Any:
        headers = self.people[player].headers | ({"Idempotency-Key": key} if key else {})
        return self.app.test_client().post(f"/api/v1/track/{path}", json=body, headers=headers)

    @rule(player=players, retries=st.integers(0, 2))
    def sign_in(self, player: int, retries: int) -> None:
        """The response to a request with a key gets lost, and the request is repeated."""
        key = str(uuid7()) if retries else None
        responses = [self.call(player, "signin", key=key) for _ in range(1 + retries)]
        assert {answer.status_code for answer in responses} == {200}
        assert len({answer.text for answer in responses}) == 1
        self.signed_in[player] += 1

    @rule(player=players, name=st.sampled_from([*QUESTS, "nothing"]), retries=st.integers(0, 2))
    def claim(self, player: int, name: str, retries: int) -> None:
        before = state_of(self.conn, self.people[player].id, name)
        key = str(uuid7()) if retries else None
        responses = [self.call(player, "claim_reward", {"quest_name": name}, key) for _ in range(1 + retries)]
        expected = 404 if name == "nothing" else 200 if before.is_claimable else 409
        assert responses[0].status_code == expected
        if expected == 200:
            assert {answer.text for answer in responses} == {responses[0].text}
            assert state_of(self.conn, self.people[player].id, name).claims == before.claims + 1

    @rule(player=players, claims=st.booleans())
    def crash_before_the_commit(self, player: int, claims: bool) -> None:
        """Everything is written, and the transaction never ends."""
        append = store.append_events

        def write_and_die(*arguments: Any) -> Any:
            append(*arguments)
            raise Crash

        asked = commands.QuestCommand(self.people[player].id, SIGNIN, claims)
        try:
            with patch.object(store, "append_events", write_and_die), db.transaction() as conn:
                commands.execute(conn, [asked], datetime.now(UTC))
        except Crash:
            pass

    @rule(player=players, code=codes, crashes=st.booleans())
    def scan(self, player: int, code: int, crashes: bool) -> None:
        """A worker crashes before its commit, and another one settles the scan."""
        scan_id = submit_scan(self.conn, self.people[player].id, self.codes[code], nonce=str(uuid7()))
        if crashes:
            with patch.object(settlement, "add_uses", side_effect=Crash), pytest.raises(Crash):
                worker.judge_pending()
            self.conn.execute("UPDATE player_scans SET lease_until = NULL, attempts = 0 WHERE status = 'pending'")
        worker.judge_pending()
        self.scans.append(scan_id)

    @rule(
        player=players,
        items=st.lists(st.tuples(codes, hours, st.booleans()), max_size=4),
        sends=st.integers(1, 3),
        waits=st.booleans(),
    )
    def upload(self, player: int, items: list[tuple[int, int, bool]], sends: int, waits: bool) -> None:
        """Some scans were sent live before, and their responses got lost. So do those to the first batches."""
        now, owner = datetime.now(UTC), self.people[player]
        scans = [
            {
                "player_id": str(owner.id),
                "qr_code": self.texts[code],
                "nonce": str(uuid7()),
                "scanned_at": format_rfc3339(now - timedelta(hours=age)),
            }
            for code, age, _ in items
        ]
        for scan, (*_, was_live) in zip(scans, items, strict=True):
            if was_live:
                live = {name: scan[name] for name in ("player_id", "qr_code", "nonce")}
                self.app.test_client().post("/scan", json=live, headers=owner.headers)
        entries = []
        for _ in range(sends):
            if waits:
                worker.judge_pending()
            batch = {"sent_at": format_rfc3339(datetime.now(UTC)), "scans": scans}
            response = self.app.test_client().post("/scans/batch", json=batch, headers=owner.headers)
            entries.append(response.json["scans"])
        worker.judge_pending()
        assert all(each == entries[0] for each in entries)
        self.scans += [UUID(entry["scan_id"]) for entry in entries[0]]

    @rule(player=players, zone=st.sampled_from(["Pacific/Honolulu", "UTC", "Pacific/Kiritimati"]))
    def travel(self, player: int, zone: str) -> None:
        self.conn.execute("UPDATE players SET timezone = %s WHERE id = %s", (zone, self.people[player].id))

    @rule(data=st.data())
    def annul(self, data: st.DataObject) -> None:
        open_ = [scan for scan in self.scans if scan not in self.annulled]
        if open_:
            chosen = data.draw(st.lists(st.sampled_from(open_), min_size=1, max_size=2, unique=True))
            annul(*chosen)
            self.annulled.update(chosen)

    @invariant()
    def everything_is_in_order(self) -> None:
        if not hasattr(self, "people"):
            return
        assert_in_order(self.conn)
        for number, person in enumerate(self.people):
            for quest in QUESTS.values():
                assert quest.reward
                state = state_of(self.conn, person.id, quest.name)
                assert owned(self.conn, person.id, quest.reward.item) == state.claims * quest.reward.quantity
                if quest.auto_claim:
                    assert state.claims == state.completions
            signed = state_of(self.conn, person.id, SIGNIN.name)
            done = min(self.signed_in[number], SIGNIN.streak * SIGNIN.duplication)
            assert (signed.completions, signed.progress) == divmod(done, SIGNIN.streak)
            for quest in (WALK, TRAIL):
                state = state_of(self.conn, person.id, quest.name)
                assert (state.progress, state.completions) == self.without_annulled(person.id, quest)

    def without_annulled(self, player_id: UUID, quest: Quest) -> tuple[int, int]:
        """Return progress and completions, counted from the scans that are not annulled, in the order of their time."""
        rows = self.conn.execute(
            """
            SELECT qr_code_id FROM player_scans WHERE player_id = %s AND status = 'success'
            ORDER BY scan_time, qr_code_id
            """,
            (player_id,),
        )
        visited: list[UUID] = []
        completions = 0
        for (code,) in rows:
            if completions == quest.duplication or code in visited:
                continue
            if quest.in_order and code != self.codes[len(visited)]:
                continue
            visited.append(code)
            if len(visited) == quest.streak:
                visited, completions = [], completions + 1
        return len(visited), completions


@pytest.fixture
def game(app: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(catalog_client, "get_quest", a_catalog)
    Game.app, Game.conn = app, conn
    yield
    del Game.app, Game.conn


@pytest.mark.parametrize("examples", [8, pytest.param(300, marks=pytest.mark.long)])
def test_the_game(game: None, examples: int) -> None:
    run_state_machine_as_test(
        Game,
        settings=settings(max_examples=examples, stateful_step_count=25, suppress_health_check=list(HealthCheck)),
    )
