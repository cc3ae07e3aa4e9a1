"""Redemptions that race with each other, with reviews and with changes of limits; and what happens without a guard."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from flask import Flask
from psycopg.errors import CheckViolation

from shared.infra.db import Conn, exactly_one
from shared.quests.rewards import RewardDefinition
from tests.quests.scan_quests import make_landmarks, make_quest
from tests.redemptions.factories import (
    COFFEE,
    add_token,
    balances,
    confirm,
    grant,
    redeem,
    redeemed,
    token_of,
    undo,
)
from tests.reviews.factories import scan
from tests.support.callers import SignedInPlayer, Staff, sign_in
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_code

RACERS = 20


@pytest.fixture
def ada(app: Flask, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn)


@contextmanager
def without_lock_of_the_player(conn: Conn) -> Iterator[None]:
    """Let the trigger read the balance without locking the player."""
    (definition,) = exactly_one(conn.execute("SELECT pg_get_functiondef('guard_balance'::regproc)"))
    lock = "PERFORM FROM players p WHERE p.id = NEW.player_id FOR NO KEY UPDATE;"
    assert definition.count(lock) == 1
    # Widens the window between the read and the commit, so that the race is lost each time.
    conn.execute(definition.replace(lock, "").replace("RETURN NEW;", "PERFORM pg_sleep(0.3); RETURN NEW;"))
    try:
        yield
    finally:
        conn.execute(definition)


def confirm_all(app: Flask, staff: Staff, tokens: list[str]) -> Counter[int]:
    calls = [partial(confirm, app.test_client(), staff, token) for token in tokens]
    return Counter(response.status_code for response in run_concurrently(calls))


def test_one_token_is_redeemed_once(app: Flask, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    grant(conn, ada.id, staff.org_id, 5)
    token = add_token(conn, ada.id, staff.org_id)

    assert confirm_all(app, staff, [token] * RACERS) == {201: 1, 409: RACERS - 1}

    assert (balances(conn, ada.id), redeemed(conn, staff.org_id)) == ((4, 0), 1)


def test_one_token_is_redeemed_twice_without_its_constraint(
    app: Flask, conn: Conn, staff: Staff, ada: SignedInPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant(conn, ada.id, staff.org_id, 5)
    token = add_token(conn, ada.id, staff.org_id)
    conn.execute("ALTER TABLE redemptions DROP CONSTRAINT redemptions_token_key")
    monkeypatch.setattr("web.api.redemptions._raise_if_redeemed", lambda *_: None)
    try:
        assert confirm_all(app, staff, [token] * 2) == {201: 2}
    finally:
        conn.execute("TRUNCATE redemptions")
        conn.execute("ALTER TABLE redemptions ADD CONSTRAINT redemptions_token_key UNIQUE (token_digest)")


def test_one_coffee_is_redeemed_by_one_of_many_tokens(
    app: Flask, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    grant(conn, ada.id, staff.org_id)
    tokens = [add_token(conn, ada.id, staff.org_id) for _ in range(RACERS)]

    assert confirm_all(app, staff, tokens) == {201: 1, 409: RACERS - 1}

    assert (balances(conn, ada.id), redeemed(conn, staff.org_id)) == ((0, 0), 1)


def test_a_balance_falls_below_zero_without_the_lock(app: Flask, conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    grant(conn, ada.id, staff.org_id)
    tokens = [add_token(conn, ada.id, staff.org_id) for _ in range(2)]
    with without_lock_of_the_player(conn):
        assert confirm_all(app, staff, tokens) == {201: 2}

    assert balances(conn, ada.id) == (-1, 0)


def test_the_ledger_refuses_to_take_more_than_the_balance(conn: Conn, staff: Staff, ada: SignedInPlayer) -> None:
    grant(conn, ada.id, staff.org_id, 2)
    grant(conn, ada.id, None, 2)

    with pytest.raises(CheckViolation, match="too low"):
        grant(conn, ada.id, staff.org_id, -3)

    grant(conn, ada.id, staff.org_id, -2)
    assert balances(conn, ada.id) == (2, 0)


def test_stock_is_redeemed_by_as_many_players_as_it_has(app: Flask, conn: Conn, staff: Staff) -> None:
    players = [sign_in(app, conn) for _ in range(8)]
    for player in players:
        grant(conn, player.id, staff.org_id)
    tokens = [add_token(conn, player.id, staff.org_id) for player in players]
    conn.execute("INSERT INTO items (org_id, item, stock) VALUES (%s, %s, 3)", (staff.org_id, COFFEE))

    assert confirm_all(app, staff, tokens) == {201: 3, 409: 5}

    assert redeemed(conn, staff.org_id) == 3
    assert sorted(balances(conn, player.id)[0] for player in players) == [0] * 3 + [1] * 5


def test_concurrent_undos_return_the_item_once(
    app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    grant(conn, ada.id, staff.org_id)
    redemption_id = confirm(client, staff, token_of(client, ada)).json["id"]

    responses = run_concurrently([lambda: undo(app.test_client(), staff, redemption_id)] * RACERS)

    assert Counter(response.status_code for response in responses) == {200: 1, 409: RACERS - 1}
    assert (balances(conn, ada.id), redeemed(conn, staff.org_id)) == ((1, 0), 0)


def annul(app: Flask, staff: Staff, scan_id: object) -> Any:
    return app.test_client().post(f"{staff.path}/scans/{scan_id}/annul", headers=staff.admin.headers)


@pytest.mark.parametrize("n", range(5))
def test_redemption_and_annulment_never_make_a_balance_negative(
    app: Flask, conn: Conn, staff: Staff, ada: SignedInPlayer, n: int
) -> None:
    """The first of the two takes the coffee. An annulment that comes second records what it could not take."""
    scan_id = scan(conn, ada.id, make_code(conn, staff.org_id, reward_item=COFFEE))
    token = add_token(conn, ada.id, staff.org_id)

    confirmed, annulled = run_concurrently(
        [lambda: confirm(app.test_client(), staff, token), lambda: annul(app, staff, scan_id)]
    )

    assert annulled.status_code == 200
    assert balances(conn, ada.id) == {201: (0, 1), 409: (0, 0)}[confirmed.status_code]


def test_undo_after_an_annulment_covers_its_shortfall(
    app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    """The player keeps what other scans gave, and gets no item of the annulled scan."""
    scan_id = scan(conn, ada.id, make_code(conn, staff.org_id, reward_item=COFFEE, reward_quantity=3))
    redemption = confirm(client, staff, token_of(client, ada, quantity=2)).json

    assert annul(app, staff, scan_id).status_code == 200
    assert balances(conn, ada.id) == (0, 2)
    (entry,) = exactly_one(conn.execute("SELECT new FROM audit_log WHERE action = 'scan.annulled'"))
    assert entry == {"status": "annulled", "shortfall": {COFFEE: 2}}
    grant(conn, ada.id, staff.org_id)
    assert balances(conn, ada.id) == (1, 2)

    undone = undo(client, staff, redemption["id"])

    assert (undone.status_code, undone.json["balance"]) == (200, 1)
    assert balances(conn, ada.id) == (1, 0)


def test_a_redeemed_quest_reward_is_a_shortfall_after_the_annulment(
    app: Flask, client: Any, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    make_quest(conn, staff.org_id, streak=1, auto_claim=True, reward=RewardDefinition("cup", COFFEE, 1))
    (landmark,) = make_landmarks(conn, staff.org_id, 1, reward_item=None, reward_quantity=None)
    scan_id = scan(conn, ada.id, landmark)
    assert confirm(client, staff, token_of(client, ada)).status_code == 201

    assert annul(app, staff, scan_id).status_code == 200

    assert balances(conn, ada.id) == (0, 1)
    (entry,) = exactly_one(conn.execute("SELECT new FROM audit_log WHERE action = 'scan.annulled'"))
    assert entry["shortfall"] == {COFFEE: 1}


def test_limits_removed_during_redemptions_fail_none(app: Flask, conn: Conn, staff: Staff) -> None:
    """A row without limits and redemptions is deleted, while others lock it."""
    path = f"{staff.path}/items/{COFFEE}"
    players = [sign_in(app, conn) for _ in range(8)]
    for player in players:
        grant(conn, player.id, staff.org_id)
    tokens = [add_token(conn, player.id, staff.org_id) for player in players]
    conn.execute("INSERT INTO items (org_id, item, stock) VALUES (%s, %s, 9)", (staff.org_id, COFFEE))
    calls: list[Callable[[], Any]] = [
        *(partial(confirm, app.test_client(), staff, token) for token in tokens),
        *[lambda: app.test_client().put(path, json={}, headers=staff.admin.headers)] * 8,
    ]

    assert Counter(response.status_code for response in run_concurrently(calls)) == {201: 8, 200: 8}

    assert redeemed(conn, staff.org_id) == 8


def test_limits_set_during_redemptions_deadlock_with_none(
    app: Flask, conn: Conn, staff: Staff, ada: SignedInPlayer
) -> None:
    grant(conn, ada.id, staff.org_id, 10)
    tokens = [add_token(conn, ada.id, staff.org_id) for _ in range(4)]
    used = [redeem(conn, ada.id, staff.org_id, staff.admin) for _ in range(4)]
    conn.execute("INSERT INTO items (org_id, item, redeemed) VALUES (%s, %s, 4)", (staff.org_id, COFFEE))
    path = f"{staff.path}/items/{COFFEE}"

    calls: list[Callable[[], Any]] = [
        *(partial(confirm, app.test_client(), staff, token) for token in tokens),
        *(partial(undo, app.test_client(), staff, redemption_id) for redemption_id in used),
        *[lambda: app.test_client().put(path, json={"stock": 20}, headers=staff.admin.headers)] * 4,
    ]
    responses = run_concurrently(calls)

    assert Counter(response.status_code for response in responses) == {201: 4, 200: 8}
    assert (balances(conn, ada.id), redeemed(conn, staff.org_id)) == ((10, 0), 4)
