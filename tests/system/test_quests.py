"""Real processes: everything that script/server runs, a player with a phone, and a catalog that is killed."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
import psycopg
import pytest
import redis

from script.client import AnswerError, Client
from script.stack import RunningServer
from shared.quests import quest_pb2, quest_pb2_grpc
from tests.quests.scan_quests import make_landmarks, make_quest
from tests.support.callers import SignedInPlayer, sign_in
from tests.support.polling import eventually
from tests.system.follower import Follower

pytestmark = pytest.mark.system


@pytest.fixture
def stores(server: RunningServer) -> Iterator[Any]:
    """To the server's own database."""
    with psycopg.connect(server.urls["DATABASE_URL"], autocommit=True) as own:
        yield own


@pytest.fixture
def ada(app: Any, stores: Any) -> SignedInPlayer:
    return sign_in(app, stores)


def status(client: Client, name: str = "signin") -> str:
    return str(client.post(f"/api/v1/track/{name}", {})["status"])


def test_a_new_server_tracks_claims_and_publishes_them(server: RunningServer, ada: SignedInPlayer) -> None:
    client = Client(server.base_url, ada.access_token)
    with Follower(server.base_url, f"/ws/{ada.id}", ada) as follower:
        assert [status(client) for _ in range(3)] == ["in_progress", "in_progress", "completed"]
        claimed = client.post("/api/v1/track/claim_reward", {"quest_name": "sign-in-three-times"})
        eventually(lambda: len(follower.received) >= 5)
    assert claimed["reward"] == {"item": "coin", "qty": 10}
    assert [event["event"] for event in follower.received] == [
        *["quest_progress"] * 3,
        "quest_completed",
        "reward_granted",
    ]
    [coins] = client.call("GET", f"/player/{ada.id}/inventory")["items"]
    assert (coins["item"], coins["quantity"], coins["org_id"]) == ("coin", 10, None)


def test_scans_advance_a_quest_through_every_process(
    server: RunningServer, stores: Any, app: Any, ada: SignedInPlayer
) -> None:
    client = Client(server.base_url, ada.access_token)
    org = client.post("/api/organizations", {"name": "Quests"})["id"]
    make_quest(stores, org, auto_claim=True)
    codes = make_landmarks(stores, org, per_player_limit=1)
    texts = stores.execute("SELECT code FROM qr_codes WHERE id = ANY(%s)", (codes,)).fetchall()
    for (code,) in texts:
        scan = client.call("POST", "/scan", {"player_id": str(ada.id), "qr_code": code}, Prefer="wait=10")
        assert scan["status"] == "success"
    inventory = client.call("GET", f"/player/{ada.id}/inventory")["items"]
    assert [(each["item"], each["quantity"], each["org_id"]) for each in inventory] == [
        ("gem", 3, org),
        ("ruby", 3, org),
    ]


def test_cached_quests_are_served_while_a_killed_catalog_restarts(server: RunningServer, ada: SignedInPlayer) -> None:
    client = Client(server.base_url, ada.access_token)
    status(client)
    before = server.pids("catalog")
    server.kill("catalog")
    assert status(client) == "in_progress", "from the cache"
    eventually(lambda: [pid for pid in server.pids("catalog") if pid not in before])
    eventually(partial(answers, server))
    with redis.Redis.from_url(server.urls["REDIS_URL"]) as cached:
        for name in cached.keys("waymark:quest_catalog:*"):
            cached.delete(name)
    assert eventually(lambda: succeeded(client)) == "completed"


def succeeded(client: Client) -> str | None:
    try:
        return status(client)
    except AnswerError:
        # 503: the pause after a failed call is not over.
        return None


def answers(server: RunningServer) -> bool:
    with grpc.insecure_channel(server.urls["GRPC_SERVER_URL"]) as channel:
        stub = quest_pb2_grpc.QuestServiceStub(channel)  # type: ignore[no-untyped-call]
        try:
            return bool(stub.GetQuestInfo(quest_pb2.QuestRequest(quest_name="sign-up"), timeout=5).streak == 1)
        except grpc.RpcError:
            return False


def test_the_catalog_stops_in_order(server: RunningServer) -> None:
    import os
    import signal

    (pid, *_) = server.pids("catalog")
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: pid not in server.pids("catalog"))
    eventually(lambda: "catalog   | ended with status 0; starting again" in server.output())
    eventually(partial(answers, server))
