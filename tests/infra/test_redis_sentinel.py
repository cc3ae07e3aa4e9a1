"""Clients of Redis follow a failover that sentinels decide."""

import select
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from script.stack.ports import LOOPBACK
from script.stack.redis import find_binary
from shared.infra.redis import listen, make_client
from shared.settings import settings
from tests.support.polling import eventually
from tests.support.redis_sentinel import SentinelCluster, sentinel_cluster


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[SentinelCluster]:
    with sentinel_cluster(find_binary()) as cluster:
        monkeypatch.setenv("REDIS_URL", cluster.url)
        monkeypatch.setenv("REDIS_CONNECTIONS", "2")
        settings.cache_clear()
        yield cluster
    monkeypatch.undo()
    settings.cache_clear()


def test_clients_follow_a_failover(cluster: SentinelCluster) -> None:
    client = make_client()
    client.set("before", "1")
    script = client.register_script("return redis.call('SET', KEYS[1], '1')")
    script(["scripted"])
    own = client.client()
    own.ping()
    subscription = listen(channels=["news"])
    next(subscription)
    old = cluster.master_port()
    cluster.nodes[old].kill()
    with pytest.raises(redis.ConnectionError):
        next(subscription)
    cluster.await_failover(old)

    assert eventually(lambda: writes(client))
    script(["scripted"])
    again = listen(channels=["news"])
    next(again)
    client.publish("news", "good")
    assert next(again)["data"] == b"good"
    # More callers than connections wait for one.
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda number: client.set(f"key{number}", "1"), range(80)))
    # As a consumer of a worker, which opens its own connection again.
    own.close()
    assert client.client().set("own", "1")


def test_sentinel_that_hangs_is_asked_once(cluster: SentinelCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        monkeypatch.setenv("REDIS_URL", cluster.url.replace("@", f"@{LOOPBACK}:{silent.getsockname()[1]},"))
        settings.cache_clear()
        client = make_client()
        assert client.set("one", "1")
        # Sentinels that answer are asked first from now on.
        client.connection_pool.disconnect()
        assert client.set("two", "2")
        assert accepted(silent) == 1


def accepted(server: socket.socket) -> int:
    """Return how many connections wait at a server."""
    number = 0
    while select.select([server], [], [], 0)[0]:
        server.accept()[0].close()
        number += 1
    return number


def writes(client: "redis.Redis") -> bool:
    try:
        return bool(client.set("after", "1"))
    except redis.RedisError:
        return False
