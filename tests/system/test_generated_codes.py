"""Real processes: what was answered 201 is drawn, whatever becomes of workers and of Redis."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
import redis

from script.client import Client
from script.stack import RunningServer
from tests.generated_codes.factories import PNG
from tests.support.callers import sign_in
from tests.support.polling import eventually

pytestmark = pytest.mark.system


@pytest.fixture
def conn(server: RunningServer) -> Iterator[Any]:
    """To the server's own database."""
    with psycopg.connect(server.urls["DATABASE_URL"], autocommit=True) as own:
        yield own


@pytest.fixture
def client(app: Any, conn: Any, server: RunningServer) -> Client:
    return Client(server.base_url, sign_in(app, conn).access_token)


def generate(client: Client, n: int) -> set[str]:
    with ThreadPoolExecutor(4) as threads:
        made = threads.map(lambda k: client.post("/generate", {"data": f"text {k}"}), range(n))
        return {told["qr_id"] for told in made}


def ready(conn: Any) -> set[str]:
    return {str(row[0]) for row in conn.execute("SELECT id FROM generated_codes WHERE status = 'ready'")}


def pictures(conn: Any) -> set[str]:
    return {str(row[0]) for row in conn.execute("SELECT code_id FROM generated_images")}


def test_a_message_wakes_a_worker(client: Client, conn: Any) -> None:
    asked = generate(client, 20)

    eventually(lambda: asked <= ready(conn))

    assert asked <= pictures(conn)


def test_killed_workers_lose_no_code(server: RunningServer, client: Client, conn: Any) -> None:
    """Leases that they leave behind are ended here, rather than waited for."""
    asked: set[str] = set()
    for _ in range(3):
        asked |= generate(client, 40)
        eventually(lambda: server.kill("worker"))
        conn.execute("UPDATE generated_codes SET lease_until = now() WHERE status = 'pending' AND attempts > 0")

    eventually(lambda: asked <= ready(conn))

    assert asked <= pictures(conn)


def test_codes_survive_the_loss_of_redis_data(server: RunningServer, client: Client, conn: Any) -> None:
    """The message is lost with the queue. The scheduler's poll finds the row."""
    with redis.Redis.from_url(server.urls["REDIS_URL"]) as queue:
        asked = generate(client, 20)
        queue.flushall()

        eventually(lambda: asked <= ready(conn))


def test_a_silent_redis_delays_no_code(server: RunningServer, client: Client) -> None:
    stopped = server.pids("redis")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        told = client.post("/generate", {"data": "no Redis"})
        picture = client.fetch("GET", told["image_url"])
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    assert picture.startswith(PNG)
