"""Rewards claimed per second by one process with 64 threads. The rival asks the catalog for every claim, and takes
four statements in a transaction.

Both sides do what a request does once the caller is known; HTTP, which they share, is left out. Both are served by our
catalog, in a process of its own, have as many connections as a web process, and pay into the ledger.
"""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from uuid import UUID

import grpc
from psycopg_pool import ConnectionPool

from bench.stack import Stack, running, scaled
from bench.table import Figure
from script.stack.ports import LOOPBACK, free_port
from script.stack.readiness import listener_problem
from shared.infra import db
from shared.infra.db import Conn, exactly_one
from shared.quests import catalog_client, commands, definitions, quest_pb2, quest_pb2_grpc
from shared.quests.commands import QuestCommand
from shared.quests.definitions import QuestDefinition
from shared.quests.rewards import RewardDefinition
from shared.settings import settings

PLAYERS, THREADS, ROUNDS = 1_000, 64, 3
CLAIMS, RIVAL_CLAIMS = 5_000, 800
QUEST = QuestDefinition("bench", 1, 1_000_000, reward=RewardDefinition("Bench", "coin", 1))
READY_SECONDS = 30.0


def seed(conn: Conn) -> None:
    """Players who have completed the quest often, and claimed nothing."""
    definitions.save(conn, QUEST)
    conn.execute("INSERT INTO players (username) SELECT 'bench' || n FROM generate_series(1, %s) n", (PLAYERS,))
    conn.execute(
        """
        INSERT INTO quest_states (player_id, quest, version, progress, completions, claims, steps)
        SELECT id, %s, 1, 0, 1000, 0, '[]' FROM players
        """,
        (QUEST.name,),
    )
    conn.execute("CREATE TABLE rival_states (player_id uuid PRIMARY KEY, completions int, claims int)")
    conn.execute("CREATE TABLE rival_claims (player_id uuid, quest text, n int, PRIMARY KEY (player_id, quest, n))")
    conn.execute("INSERT INTO rival_states SELECT id, 1000, 0 FROM players")
    conn.execute("VACUUM ANALYZE")


def measure(where: Stack, scale: float) -> list[Figure]:
    """Measure alternating rounds of Waymark and the rival."""
    claims, rival_claims = scaled(CLAIMS, scale, THREADS), scaled(RIVAL_CLAIMS, scale, THREADS)
    address = f"{LOOPBACK}:{free_port()}"
    os.environ["GRPC_SERVER_URL"] = address
    settings.cache_clear()
    with running(where.data, "catalog", sys.executable, "-m", "workers.catalog_server"):
        deadline = time.monotonic() + READY_SECONDS
        while listener_problem(address):
            if time.monotonic() > deadline:
                sys.exit(f"the catalog did not start:\n{(where.data / 'catalog.log').read_text()[-2000:]}")
            time.sleep(0.05)
        with where.rival() as conn:
            players = [row[0] for row in conn.execute("SELECT id FROM players ORDER BY id")]
        rounds = [(_waymark(players, claims), _rival(where, players, address, rival_claims)) for _ in range(ROUNDS)]
    return [Figure.of_rounds("rewards claimed, one process", "claims/s", rounds, "≥", 5)]


def _waymark(players: list[UUID], claims: int) -> float:
    def claim(player_id: UUID) -> None:
        commands.events_or_raise(
            commands.group_commit.submit(QuestCommand(player_id, catalog_client.get_quest(QUEST.name), is_claim=True))
        )

    with db.connection() as conn:
        before = _paid(conn)
        rate = _rate(claim, players, claims)
        _assert_paid(_paid(conn) - before, claims)
    return rate


def _rival(where: Stack, players: list[UUID], address: str, rival_claims: int) -> float:
    with (
        ConnectionPool(
            where.rival_url, min_size=settings().database_pool_size, max_size=settings().database_pool_size
        ) as pool,
        grpc.insecure_channel(address) as channel,
        where.rival() as conn,
    ):
        stub = quest_pb2_grpc.QuestServiceStub(channel)  # type: ignore[no-untyped-call]

        def claim(player_id: UUID) -> None:
            quest = stub.GetQuestInfo(quest_pb2.QuestRequest(quest_name=QUEST.name), timeout=5)
            with pool.connection() as own:  # a transaction
                completions, claims = exactly_one(
                    own.execute(
                        "SELECT completions, claims FROM rival_states WHERE player_id = %s FOR UPDATE", (player_id,)
                    )
                )
                if claims >= min(completions, quest.duplication):
                    raise RuntimeError("nothing is owed")
                own.execute("INSERT INTO rival_claims VALUES (%s, %s, %s)", (player_id, quest.name, claims + 1))
                own.execute(
                    """
                    INSERT INTO inventory_ledger (player_id, item, quantity, source, source_id)
                    VALUES (%s, %s, %s, 'quest', gen_random_uuid())
                    """,
                    (player_id, quest.rewards.reward_item, quest.rewards.reward_qty),
                )
                own.execute("UPDATE rival_states SET claims = claims + 1 WHERE player_id = %s", (player_id,))

        before = _paid(conn)
        rate = _rate(claim, players, rival_claims)
        _assert_paid(_paid(conn) - before, rival_claims)
    return rate


def _rate(claim: Callable[[UUID], None], players: list[UUID], claims: int) -> float:
    """Claims per second, players taking turns."""
    turns = count()

    def work(_: int) -> None:
        while (turn := next(turns)) < claims:
            claim(players[turn % len(players)])

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(work, range(THREADS)))  # connections and threads, outside the timing
        turns = count()
        began = time.perf_counter()
        list(threads.map(work, range(THREADS)))
        return claims / (time.perf_counter() - began)


def _paid(conn: Conn) -> int:
    return int(exactly_one(conn.execute("SELECT count(*) FROM inventory_ledger"))[0])


def _assert_paid(paid: int, claims: int) -> None:
    if paid != 2 * claims:  # one round to warm up
        raise RuntimeError(f"{paid} ledger entries after {2 * claims} claims")
