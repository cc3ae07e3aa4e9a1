"""The catalog client: cached, invalid and missing responses."""

import subprocess
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from shared.infra.db import Conn
from shared.infra.redis import client, key
from shared.quests import catalog_client, quest_pb2, quest_pb2_grpc
from shared.quests.catalog_client import CatalogInvalidResponse, CatalogUnavailable, QuestNotFound
from shared.quests.rules import Quest, QuestReward
from tests.quests.conftest import Settings, Stand, start_over
from tests.support.callers import SignedInPlayer
from tests.support.metrics import grows_by
from workers.catalog_server import check, make_server

SERVING = HealthCheckResponse.SERVING
THREE: dict[str, Any] = {"name": "three", "streak": 3, "duplication": 10}
COINS = {"reward_item": "coin", "reward_qty": 10}


@contextmanager
def lookups(**expected: int) -> Iterator[None]:
    """Assert how many lookups of each source are counted meanwhile: none of those that are not named."""
    with ExitStack() as stack:
        for source in ("cache", "called", "stale", "failed"):
            stack.enter_context(grows_by(expected.get(source, 0), "waymark_catalog_lookups_total", source=source))
        yield


def test_a_response_is_fetched_once_and_shared_by_processes(stand: Stand) -> None:
    stand.say(**THREE, auto_claim=True, rewards=COINS)
    expected = Quest("three", 3, 10, auto_claim=True, reward=QuestReward("coin", 10))
    with lookups(called=1, cache=5):
        assert [catalog_client.get_quest("three") for _ in range(5)] == [expected] * 5
        catalog_client.clear_cache()  # as another process would
        assert catalog_client.get_quest("three") == expected
    assert stand.asked == 1


def test_an_expired_response_is_fetched_again(stand: Stand, set_settings: Settings) -> None:
    set_settings(grpc_cache_ttl_seconds=0)
    stand.say(**THREE)
    catalog_client.get_quest("three")
    stand.say(**THREE | {"streak": 5})
    catalog_client.clear_cache()
    assert catalog_client.get_quest("three").streak == 5


def test_every_key_in_redis_has_a_time_to_live(stand: Stand) -> None:
    stand.say(**THREE)
    catalog_client.get_quest("three")
    (name,) = client().keys(key("quest_catalog", "*"))
    assert 24 * 3600 < client().ttl(name) <= 24 * 3600 + 60


def test_without_redis_the_catalog_is_called(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.say(**THREE)
    monkeypatch.setattr("shared.infra.cache._query", lambda _question: None)
    assert catalog_client.get_quest("three").streak == 3


def test_a_deleted_quest_is_not_served_from_the_cache(stand: Stand, set_settings: Settings) -> None:
    set_settings(grpc_cache_ttl_seconds=0)
    stand.say(**THREE)
    catalog_client.get_quest("three")
    stand.answer = lambda context: context.abort(grpc.StatusCode.NOT_FOUND, "no")
    catalog_client.clear_cache()
    for _ in range(2):
        with pytest.raises(QuestNotFound):
            catalog_client.get_quest("three")


def abort(status: grpc.StatusCode) -> Any:
    return lambda context: context.abort(status, "no")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"name": "another", "streak": 1, "duplication": 1}, CatalogInvalidResponse),
        ({}, CatalogInvalidResponse),
        (THREE | {"streak": 0}, CatalogInvalidResponse),
        (THREE | {"streak": -3}, CatalogInvalidResponse),
        (THREE | {"duplication": 0}, CatalogInvalidResponse),
        (THREE | {"rewards": {"reward_item": "coin", "reward_qty": -5}}, CatalogInvalidResponse),
        (THREE | {"rewards": {"reward_item": "coin"}}, CatalogInvalidResponse),
        (THREE | {"rewards": {"reward_item": "coin", "reward_qty": 2**31 - 1}}, CatalogInvalidResponse),
        (THREE | {"rewards": {"reward_qty": 5}}, CatalogInvalidResponse),
        (THREE | {"rewards": {"reward_item": "c" * 101, "reward_qty": 5}}, CatalogInvalidResponse),
        (THREE | {"rewards": {"reward_item": "a\x00b", "reward_qty": 5}}, CatalogInvalidResponse),
        (THREE | {"rewards": {"reward_name": "x" * 5_000_000, **COINS}}, CatalogInvalidResponse),
    ],
)
def test_an_invalid_response_counts_as_no_response(stand: Stand, fields: Any, error: type[Exception]) -> None:
    stand.say(**fields)
    with pytest.raises(error):
        catalog_client.get_quest("three")
    assert client().keys(key("quest_catalog", "*")) == []


@pytest.mark.parametrize("reward", [None, {}, {"reward_id": 7, "reward_name": "nothing"}])
def test_a_reward_may_be_left_out(stand: Stand, reward: Any) -> None:
    stand.say(**THREE, rewards=reward)
    assert catalog_client.get_quest("three").reward is None


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_an_unreachable_catalog_is_not_called_for_a_moment(
    stand: Stand, status: grpc.StatusCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_client, "PAUSE_SECONDS", 60)
    stand.answer = abort(status)
    with pytest.raises(CatalogUnavailable):
        catalog_client.get_quest("three")
    asked = stand.asked
    for _ in range(5):
        with lookups(failed=1), pytest.raises(CatalogUnavailable):
            catalog_client.get_quest("another")
    assert stand.asked == asked


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.ABORTED])
def test_one_failed_call_does_not_block_others(stand: Stand, status: grpc.StatusCode) -> None:
    stand.answer = abort(status)
    with pytest.raises(CatalogUnavailable):
        catalog_client.get_quest("three")
    stand.say(**THREE | {"name": "another"})
    assert catalog_client.get_quest("another").streak == 3


def test_an_unknown_quest_is_not_fetched_again_for_a_second(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_client, "NOT_FOUND_TTL_SECONDS", 60)
    monkeypatch.setattr(catalog_client, "MAX_QUESTS", 3)
    for _ in range(5):
        with pytest.raises(QuestNotFound):
            catalog_client.get_quest("nothing")
    assert stand.asked == 1
    for number in range(10):
        with pytest.raises(QuestNotFound):
            catalog_client.get_quest(f"nothing-{number}")
    assert len(catalog_client._missing) <= 3


def test_an_unavailable_catalog_is_retried(stand: Stand) -> None:
    def third_time_lucky(context: grpc.ServicerContext) -> Any:
        if stand.asked < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "starting")
        return quest_pb2.QuestResponse(**THREE)

    stand.answer = third_time_lucky
    assert catalog_client.get_quest("three").streak == 3
    assert stand.asked == 3


def test_a_response_after_the_deadline_is_ignored(stand: Stand, set_settings: Settings) -> None:
    set_settings(grpc_deadline_seconds=0.2)
    waited = threading.Event()

    def late(_context: grpc.ServicerContext) -> Any:
        waited.wait(10)
        return quest_pb2.QuestResponse(**THREE)

    stand.answer = late
    with pytest.raises(CatalogUnavailable):
        catalog_client.get_quest("three")
    waited.set()


@pytest.fixture
def babbler(conn: Conn, set_settings: Settings) -> Iterator[None]:
    """Speaks HTTP/2 and gRPC, but its messages are not Waymark's protobuf."""

    class Anything(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: Any) -> Any:  # noqa: ARG002
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"\xff\xff\xff garbage")

    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((Anything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    set_settings(grpc_server_url=f"127.0.0.1:{port}", grpc_deadline_seconds=10)
    yield
    server.stop(None).wait()


def test_a_response_that_is_not_protobuf_is_invalid(babbler: None) -> None:
    with pytest.raises(CatalogInvalidResponse):
        catalog_client.get_quest("three")


def test_an_invalid_response_changes_nothing(client: Any, stand: Stand, conn: Conn, ada: SignedInPlayer) -> None:
    name = "sign-in-three-times"
    stand.say(name=name, streak=1, duplication=1, rewards={"reward_item": "coin", "reward_qty": -5})
    for path, body in (("signin", None), ("claim_reward", {"quest_name": name})):
        answer = client.post(f"/api/v1/track/{path}", json=body, headers=ada.headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert "is invalid" in answer.json["detail"]
    row = conn.execute("SELECT (SELECT count(*) FROM quest_events), (SELECT count(*) FROM events)").fetchone()
    assert row == (0, 0)


def test_stale_quests_are_served_without_the_catalog(stand: Stand, set_settings: Settings) -> None:
    set_settings(grpc_cache_ttl_seconds=0)
    stand.say(**THREE)
    catalog_client.get_quest("three")
    for answer in (abort(grpc.StatusCode.UNKNOWN), lambda _context: quest_pb2.QuestResponse(name="three", streak=-1)):
        stand.answer = answer
        catalog_client.clear_cache()
        with lookups(stale=1):
            assert catalog_client.get_quest("three").streak == 3


@pytest.mark.parametrize(
    "kept", [b"{", b"[]", b"\xff", b'{"quests": [["three", {"color": "red"}]], "fresh_until": 9e9}', b'{"quests": 1}']
)
def test_an_unreadable_cache_entry_is_ignored(stand: Stand, kept: bytes) -> None:
    stand.say(**THREE)
    catalog_client.get_quest("three")
    (name,) = client().keys(key("quest_catalog", "*"))
    client().set(name, kept)
    catalog_client.clear_cache()
    assert catalog_client.get_quest("three").streak == 3
    assert client().get(name) != kept


@pytest.mark.parametrize("hours", [0, 1])
def test_without_redis_this_process_serves_stale_quests(
    stand: Stand, set_settings: Settings, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    set_settings(grpc_cache_ttl_seconds=0, grpc_cache_stale_hours=hours)
    monkeypatch.setattr(catalog_client, "LOCAL_TTL_SECONDS", 0)
    stand.say(**THREE)
    catalog_client.get_quest("three")
    stand.answer = abort(grpc.StatusCode.UNAVAILABLE)
    monkeypatch.setattr("shared.infra.cache._query", lambda _question: None)
    if hours:
        assert [catalog_client.get_quest("three").streak for _ in range(3)] == [3] * 3
    else:
        with pytest.raises(CatalogUnavailable):
            catalog_client.get_quest("three")


def test_one_thread_fetches_again_while_others_get_stale_quests(
    stand: Stand, set_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_settings(grpc_cache_ttl_seconds=0)
    monkeypatch.setattr(catalog_client, "LOCAL_TTL_SECONDS", 0)
    stand.say(**THREE)
    catalog_client.get_quest("three")
    asked, answered = threading.Event(), threading.Event()

    def slow(_context: grpc.ServicerContext) -> Any:
        asked.set()
        answered.wait(10)
        return quest_pb2.QuestResponse(**THREE | {"streak": 5})

    stand.answer = slow
    with futures.ThreadPoolExecutor(1) as thread:
        first = thread.submit(catalog_client.get_quest, "three")
        assert asked.wait(10)
        assert [catalog_client.get_quest("three").streak for _ in range(3)] == [3] * 3
        answered.set()
        assert first.result().streak == 5
    assert stand.asked == 2


# Who may ask, and over what ------------------------------------------------------------------------------------------


def test_a_required_token_is_sent(shipped: None, set_settings: Settings) -> None:
    set_settings(grpc_token="a secret token")
    server, _, port = make_server("127.0.0.1:0")
    server.start()
    try:
        set_settings(grpc_server_url=f"127.0.0.1:{port}", grpc_deadline_seconds=10)
        assert catalog_client.get_quest("sign-up").streak == 1
        for wrong in ("another", ""):
            set_settings(grpc_token=wrong)
            client().flushall()
            with pytest.raises(CatalogUnavailable):
                catalog_client.get_quest("sign-up")
    finally:
        server.stop(None).wait()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Self-signed, for localhost, and its key."""
    import shutil

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    cert, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, *names, "-keyout", private, "-out", cert], check=True, capture_output=True)
    return cert, private


def test_quests_are_fetched_over_tls(shipped: None, set_settings: Settings, certificate: tuple[Path, Path]) -> None:
    cert, private = certificate
    set_settings(grpc_cert_file=cert, grpc_key_file=private)
    server, well, port = make_server("localhost:0")
    server.start()
    try:
        set_settings(grpc_server_url=f"localhost:{port}", grpc_tls=True, grpc_ca_file=cert, grpc_deadline_seconds=10)
        assert catalog_client.get_quest("sign-up").streak == 1
        well.set("", SERVING)
        assert check(f"127.0.0.1:{port}").endswith("is serving")
        set_settings(grpc_tls=False, grpc_deadline_seconds=1)
        client().flushall()
        with pytest.raises(CatalogUnavailable):
            catalog_client.get_quest("sign-up")
    finally:
        server.stop(None).wait()


def test_all_threads_share_one_channel(stand: Stand) -> None:
    from shared.quests import grpc_channel

    start_over()
    assert grpc_channel.stub() is grpc_channel.stub()
    assert isinstance(grpc_channel.stub(), quest_pb2_grpc.QuestServiceStub)
