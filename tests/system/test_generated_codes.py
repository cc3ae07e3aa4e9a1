"""Real processes: an accepted code is rendered, also if workers are killed or Redis loses its data."""

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
    """A connection to the database of the server."""
    with psycopg.connect(server.urls["DATABASE_URL"], autocommit=True) as own:
        yield own


@pytest.fixture
def client(app: Any, conn: Any, server: RunningServer) -> Client:
    return Client(server.base_url, sign_in(app, conn).access_token)


def generate(client: Client, count: int) -> set[str]:
    with ThreadPoolExecutor(4) as threads:
        created = threads.map(lambda k: client.post("/generate", {"data": f"text {k}"}), range(count))
        return {code["qr_id"] for code in created}


def ready(conn: Any) -> set[str]:
    return {str(row[0]) for row in conn.execute("SELECT id FROM generated_codes WHERE status = 'ready'")}


def codes_with_image(conn: Any) -> set[str]:
    return {str(row[0]) for row in conn.execute("SELECT code_id FROM generated_images")}


def test_a_message_wakes_a_worker(client: Client, conn: Any) -> None:
    expected = generate(client, 20)

    eventually(lambda: expected <= ready(conn))

    assert expected <= codes_with_image(conn)


def test_killed_workers_lose_no_code(server: RunningServer, client: Client, conn: Any) -> None:
    """Their leases are expired here, to save time."""
    expected: set[str] = set()
    for _ in range(3):
        expected |= generate(client, 40)
        eventually(lambda: server.kill("worker"))
        conn.execute("UPDATE generated_codes SET lease_until = now() WHERE status = 'pending' AND attempts > 0")

    eventually(lambda: expected <= ready(conn))

    assert expected <= codes_with_image(conn)


def test_codes_survive_the_loss_of_redis_data(server: RunningServer, client: Client, conn: Any) -> None:
    """The message is lost with the queue. The scheduler's poll finds the row."""
    with redis.Redis.from_url(server.urls["REDIS_URL"]) as queue:
        expected = generate(client, 20)
        queue.flushall()

        eventually(lambda: expected <= ready(conn))


def test_a_silent_redis_delays_no_code(server: RunningServer, client: Client) -> None:
    stopped = server.pids("redis")
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        code = client.post("/generate", {"data": "no Redis"})
        image = client.fetch("GET", code["image_url"])
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    assert image.startswith(PNG)
