"""Renders by real processes: every code is rendered once, even if workers are killed."""

import os
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from script.client import Client
from script.stack import RunningServer
from tests.images.camera_view import decode
from tests.support.callers import add_member, sign_in
from tests.support.factories import make_org
from tests.support.polling import eventually
from tests.system.follower import Follower
from tests.system.processes import log_lines, restarted
from workers.renders import CONCURRENT_CHUNKS

pytestmark = pytest.mark.system


@pytest.fixture
def conn(server: RunningServer) -> Iterator[Any]:
    """A connection to the database of the server."""
    with psycopg.connect(server.urls["DATABASE_URL"], autocommit=True) as own:
        yield own


class Studio:
    """An organization with codes, and its admin."""

    def __init__(self, app: Any, conn: Any, server: RunningServer, codes: int) -> None:
        self.org_id = make_org(conn)
        self.admin = sign_in(app, conn)
        add_member(conn, self.org_id, self.admin.id, "admin")
        conn.execute(
            """
            INSERT INTO qr_codes (org_id, code, scan_type)
            SELECT %s, 'k' || md5(%s::text || n), 'item_drop' FROM generate_series(1, %s) n
            """,
            (self.org_id, self.org_id, codes),
        )
        self.codes = [
            row[0] for row in conn.execute("SELECT code FROM qr_codes WHERE org_id = %s ORDER BY id", (self.org_id,))
        ]
        self.base_url = server.base_url
        self.client = Client(server.base_url, self.admin.access_token)
        self.path = f"/api/organizations/{self.org_id}/renders"

    def create_render(self, **body: Any) -> str:
        """Create a render of all codes. Return its status URL."""
        return str(self.client.post(self.path, {"all": True} | body)["status_url"])

    def count_done(self, url: str) -> int:
        return int(self.client.get(url)["done"])

    def wait_for_end(self, url: str, within: float = 60.0) -> dict[str, Any]:
        def get_ended() -> Any:
            render = self.client.get(url)
            return render if render["status"] not in ("queued", "running") else None

        render: dict[str, Any] = eventually(get_ended, within)
        return render

    def assert_complete(self, render: dict[str, Any]) -> None:
        """Assert that the file contains one image per code, in order."""
        assert (render["status"], render["done"], render["failed"]) == ("done", len(self.codes), 0), render
        data = Client(self.base_url).fetch("GET", render["download_url"])
        assert len(data) == render["bytes"]
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name != "manifest.csv"]
            texts = [decode(archive.read(name))[0] for name in names]
        assert texts == [f"{self.base_url}/s/{code}" for code in self.codes]


def test_a_render_survives_a_killed_worker(app: Any, conn: Any, server: RunningServer) -> None:
    studio = Studio(app, conn, server, codes=300)
    # Chunks of sixty codes.
    url = studio.create_render(size=601)
    eventually(lambda: studio.count_done(url))
    killed = eventually(lambda: server.kill("bulk"))
    restarted(server, "bulk", than=killed)

    studio.assert_complete(studio.wait_for_end(url))


def test_another_organization_delays_a_code_by_one_chunk(app: Any, conn: Any, server: RunningServer) -> None:
    """It has a backlog of chunks, and canceled label sheets with a caption that took minutes to fit."""
    busy, other = Studio(app, conn, server, codes=1_500), Studio(app, conn, server, codes=1)
    long = conn.execute(
        "UPDATE qr_codes SET description = %s WHERE code = %s RETURNING id", ("W" * 2_000, busy.codes[0])
    ).fetchone()[0]
    label = {"template": "a4-3x8", "caption": "description"}
    for _ in range(4):
        body = {"qr_ids": [str(long)], "output": "label_sheet", "label": label}
        busy.client.call("DELETE", busy.client.post(busy.path, body)["status_url"])
    backlog = busy.create_render(size=601)
    eventually(lambda: busy.count_done(backlog))

    url = other.create_render()
    created_at = conn.execute("SELECT clock_timestamp()").fetchone()[0]
    other.assert_complete(other.wait_for_end(url))

    before, after = conn.execute(
        """
        SELECT count(*) FILTER (WHERE b.claimed_at BETWEEN %s AND c.claimed_at),
               count(*) FILTER (WHERE coalesce(b.claimed_at, 'infinity') > c.claimed_at)
        FROM render_chunks c JOIN render_chunks b ON c.org_id = %s AND b.org_id = %s
        """,
        (created_at, other.org_id, busy.org_id),
    ).fetchone()
    busy.client.call("DELETE", backlog)
    assert {line["process"] for line in log_lines(server) if line["event"] == "chunk_rendered"} == {"bulk"}
    # Each thread that renders may have begun a claim just before the render was committed.
    assert before <= CONCURRENT_CHUNKS
    assert after > 0


def has_progressed(studio: Studio, url: str, done: int) -> bool:
    """True if more codes than `done` are rendered, or all."""
    render = studio.client.get(url)
    return bool(render["done"] > done or render["status"] == "done")


@pytest.mark.long
def test_5000_codes_while_workers_are_killed_every_few_seconds(app: Any, conn: Any, server: RunningServer) -> None:
    """A second render of the same codes is canceled halfway, and a third one is complete."""
    studio = Studio(app, conn, server, codes=5_000)
    before = set(files(server))
    url = studio.create_render(size=601)
    deadline, kills = time.monotonic() + 300, 0
    while studio.client.get(url)["status"] in ("queued", "running"):
        assert time.monotonic() < deadline
        eventually(partial(has_progressed, studio, url, studio.count_done(url)))
        if kills < 12:
            killed = eventually(lambda: server.kill("bulk"))
            restarted(server, "bulk", than=killed)
            kills += 1
    assert kills > 3
    studio.assert_complete(studio.wait_for_end(url))

    canceled = studio.create_render(size=601)
    eventually(lambda: studio.count_done(canceled))
    studio.client.call("DELETE", canceled)
    assert studio.wait_for_end(canceled)["status"] == "canceled"
    again = studio.create_render()
    studio.assert_complete(studio.wait_for_end(again))
    eventually(lambda: len(set(files(server)) - before) == 2)


def files(server: RunningServer) -> list[str]:
    """Return the names of all files. Drafts of killed workers, which are deleted a day later, are not included."""
    return [name for _, _, names in os.walk(server.data / "files" / "kept") for name in names]


def test_a_canceled_render_leaves_no_files(app: Any, conn: Any, server: RunningServer) -> None:
    studio = Studio(app, conn, server, codes=400)
    before = set(files(server))
    url = studio.create_render(size=601)
    eventually(lambda: studio.count_done(url))
    studio.client.call("DELETE", url)
    again = studio.create_render()

    studio.assert_complete(studio.wait_for_end(again))

    assert studio.wait_for_end(url)["status"] in ("canceled", "done")
    eventually(lambda: len(set(files(server)) - before) == 1)


def test_staff_receive_progress_and_the_log_has_no_signature(app: Any, conn: Any, server: RunningServer) -> None:
    studio = Studio(app, conn, server, codes=130)
    with Follower(server.base_url, f"/ws/organizations/{studio.org_id}", studio.admin) as follower:
        url = studio.create_render(size=601)
        eventually(lambda: any(event["event"] == "render_done" for event in follower.received))
    events = [(event["event"], event["done"]) for event in follower.received]
    assert events[-1] == ("render_done", 130)
    assert {event for event, _ in events[:-1]} == {"render_progress"}
    assert len(events) == 4
    render = studio.wait_for_end(url)
    studio.assert_complete(render)
    signature = parse_qs(urlsplit(render["download_url"]).query)["signature"][0]
    eventually(lambda: f"{url}/download" in server.output())
    assert signature not in server.output()
