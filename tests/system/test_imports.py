"""Real processes: an accepted import runs once, also if workers are killed or Redis loses its data."""

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from script.client import Client
from script.stack import RunningServer
from tests.imports.factories import many
from tests.support.callers import Staff, make_staff
from tests.support.polling import eventually
from web.api.imports import MAX_CSV_BYTES

pytestmark = pytest.mark.system

ROWS = 10_000
MAX_GROWTH_BYTES = 40 * 2**20
"""Of a process. A hundred thousand rows as objects take several times as much."""


@pytest.fixture
def conn(server: RunningServer) -> Iterator[Any]:
    """A connection to the database of the server."""
    with psycopg.connect(server.urls["DATABASE_URL"], autocommit=True) as own:
        yield own


@pytest.fixture
def staff(app: Any, conn: Any, server: RunningServer) -> Staff:
    return make_staff(app, conn)


@pytest.fixture
def client(server: RunningServer, staff: Staff) -> Client:
    return Client(server.base_url, staff.admin.access_token)


def start_import(client: Client, staff: Staff, data: bytes, query: str = "", **headers: str) -> str:
    job = client.post(f"{staff.codes}/import{query}", data, Content_Type="text/csv", **headers)
    return str(job["status_url"])


def counts(conn: Any, status_url: str) -> tuple[str, int, int]:
    row = conn.execute(
        "SELECT status, validated_rows, total FROM imports WHERE id = %s", (status_url.rpartition("/")[2],)
    ).fetchone()
    return row[0], row[1], row[2]


def is_validated(conn: Any, status_url: str, share: float) -> bool:
    _, validated, total = counts(conn, status_url)
    return validated >= share * total


def codes(conn: Any, staff: Staff) -> tuple[int, int]:
    row = conn.execute(
        "SELECT count(*), count(DISTINCT code) FROM qr_codes WHERE org_id = %s", (staff.org_id,)
    ).fetchone()
    return row[0], row[1]


@pytest.mark.parametrize("query", ["", "?partial=true"])
@pytest.mark.parametrize("share", [0.2, 1.0], ids=["while it validates rows", "while it adds codes"])
def test_a_worker_that_is_killed_adds_no_code_twice(
    server: RunningServer, client: Client, conn: Any, staff: Staff, share: float, query: str
) -> None:
    """Its lease is expired here, to save time."""
    bad = b"bad,chess\r\n" if query else b""
    url = start_import(client, staff, many(ROWS, staff.org_id.hex[-12:]) + bad, query)
    eventually(lambda: is_validated(conn, url, share))

    assert server.kill("bulk")
    conn.execute("UPDATE imports SET lease_until = now() WHERE finished_at IS NULL")

    eventually(lambda: counts(conn, url)[0] == "done")
    job = client.get(url)
    assert (job["done"], job["failed"], job["progress"]) == (ROWS, bool(bad), 1.0)
    assert [row["line"] for row in job["rows"][:1]] == [ROWS + 2 if bad else 2]
    assert codes(conn, staff) == (ROWS, ROWS)
    assert (
        conn.execute("SELECT FROM import_rows").rowcount == conn.execute("SELECT FROM import_candidates").rowcount == 0
    )


def test_a_lost_message_is_sent_again(server: RunningServer, client: Client, conn: Any, staff: Staff) -> None:
    with redis.Redis.from_url(server.urls["REDIS_URL"]) as queue:
        url = start_import(client, staff, many(2_000, staff.org_id.hex[-12:]))
        queue.flushall()

        eventually(lambda: counts(conn, url)[0] == "done")

    assert codes(conn, staff) == (2_000, 2_000)


@pytest.mark.parametrize(("size", "status"), [(1_000, 201), (MAX_CSV_BYTES + 1, 413)])
def test_a_chunked_body_without_a_length(server: RunningServer, staff: Staff, size: int, status: int) -> None:
    data = b"scan_type,description\n".ljust(size, b"\n")
    connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=30)
    connection.request(
        "POST",
        f"{staff.codes}/import",
        iter([data]),
        staff.admin.headers | {"Content-Type": "text/csv"},
        encode_chunked=True,
    )
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()

    assert response.status == status, body


@pytest.mark.long
def test_a_hundred_thousand_rows_take_bounded_memory(
    server: RunningServer, client: Client, conn: Any, staff: Staff
) -> None:
    row = {"description": "At the station, platform 7", "latitude": "52.3731", "longitude": "4.8926", "tags": "east"}

    def run(count: int, prefix: str) -> dict[str, int]:
        started_at = time.monotonic()
        url = start_import(client, staff, many(count, f"{prefix}{staff.org_id.hex[-12:]}", **row))
        accepted_at = time.monotonic()
        eventually(lambda: counts(conn, url)[0] == "done", within=300)
        accepted, done = accepted_at - started_at, time.monotonic() - started_at
        print(f"{count:,} rows: accepted in {accepted:.1f} s, done in {done:.1f} s")
        assert client.fetch("GET", f"{staff.codes}/export").count(prefix.encode()) == count
        return {name: memory(server, name) for name in ("web", "bulk")}

    before = run(2_000, "few")
    after = run(100_000, "many")

    for name in before:
        print(f"{name}: {before[name] / 2**20:.0f} MiB before, {after[name] / 2**20:.0f} MiB after")
    assert all(after[name] - before[name] < MAX_GROWTH_BYTES for name in before)


def memory(server: RunningServer, name: str) -> int:
    """Resident bytes of a process and its children."""
    return sum(psutil.Process(pid).memory_info().rss for pid in server.pids(name))
