"""Real processes: a hundred requests race for one coffee in two processes; and what happens without a guard."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest

from script.stack import RunningServer
from script.stack.ports import LOOPBACK
from shared.infra.db import Conn
from tests.redemptions.factories import add_token, balances, grant, redeemed
from tests.support.callers import SignedInPlayer, make_key, sign_in
from tests.support.concurrency import run_concurrently
from tests.support.gunicorn_server import serving
from tests.support.polling import eventually
from tests.system.conftest import Stage
from tests.system.follower import Follower
from tests.system.load import Load

pytestmark = pytest.mark.system

RACERS = 100


@pytest.fixture
def conn(stage: Stage) -> Iterator[Conn]:
    """To the server's own database."""
    with psycopg.connect(stage.database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def ada(app: Any, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn)


@contextmanager
def without_trigger(conn: Conn) -> Iterator[None]:
    conn.execute("ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_guard_balance")
    try:
        yield
    finally:
        conn.execute("ALTER TABLE inventory_ledger ENABLE TRIGGER inventory_ledger_guard_balance")


@pytest.fixture(scope="module")
def webs(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Load]]:
    """Clients of two web processes on the same stores."""
    with serving(tmp_path_factory.mktemp("redemptions") / "web.log", **server.urls) as port:
        yield [Load(server.base_url), Load(f"http://{LOOPBACK}:{port}")]


def confirm_all(stage: Stage, conn: Conn, webs: list[Load], tokens: list[str]) -> Counter[int]:
    """Confirm all tokens at the same time: half of them by the owner at one process, half by a key at the other."""
    path = f"/api/organizations/{stage.game.org_id}/redemptions"
    counters: list[Any] = [stage.game.owner, make_key(conn, stage.game.org_id, "redeem")]
    calls = [
        partial(webs[number % 2].ask, "POST", path, counters[number % 2], {"token": token})
        for number, token in enumerate(tokens)
    ]
    return Counter(response.status for response in run_concurrently(calls))


@pytest.mark.parametrize("tokens", [1, RACERS])
def test_one_of_a_hundred_racing_redemptions_gets_the_coffee(
    stage: Stage, conn: Conn, webs: list[Load], ada: SignedInPlayer, tokens: int
) -> None:
    org_id = stage.game.org_id
    grant(conn, ada.id, org_id)
    shown = [add_token(conn, ada.id, org_id) for _ in range(tokens)] * (RACERS // tokens)
    with Follower(stage.server.base_url, f"/ws/{ada.id}", ada) as follower:
        assert confirm_all(stage, conn, webs, shown) == {201: 1, 409: RACERS - 1}
        eventually(lambda: follower.received)

    assert [(event["event"], event["balance"]) for event in follower.received] == [("reward_redeemed", 0)]
    assert (balances(conn, ada.id), redeemed(conn, org_id)) == ((0, 0), 1)


def test_several_of_them_get_it_without_the_guard_of_the_balance(
    stage: Stage, conn: Conn, webs: list[Load], ada: SignedInPlayer
) -> None:
    org_id = stage.game.org_id
    grant(conn, ada.id, org_id)
    with without_trigger(conn):
        assert confirm_all(stage, conn, webs, [add_token(conn, ada.id, org_id) for _ in range(RACERS)])[201] > 1

    assert balances(conn, ada.id)[0] < 0
    # Other tests of this server look for balances below zero.
    conn.execute("DELETE FROM inventory_ledger WHERE player_id = %s", (ada.id,))
