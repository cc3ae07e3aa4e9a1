"""Real processes: a render is finished, each code once, whatever becomes of its workers."""

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
from tests.system.processes import restarted

pytestmark = pytest.mark.system


@pytest.fixture
def conn(server: RunningServer) -> Iterator[Any]:
    """To the server's own database."""
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

    def ask(self, **body: Any) -> str:
        return str(self.client.post(self.path, {"all": True} | body)["status_url"])

    def done(self, url: str) -> int:
        return int(self.client.get(url)["done"])

    def finished(self, url: str, within: float = 60.0) -> dict[str, Any]:
        def ended() -> Any:
            told = self.client.get(url)
            return told if told["status"] not in ("queued", "running") else None

        told: dict[str, Any] = eventually(ended, within)
        return told

    def assert_whole(self, told: dict[str, Any]) -> None:
        """Assert that each code is there once, in order, and that each image encodes it."""
        assert (told["status"], told["done"], told["failed"]) == ("done", len(self.codes), 0), told
        data = Client(self.base_url).fetch("GET", told["download_url"])
        assert len(data) == told["bytes"]
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name != "manifest.csv"]
            said = [decode(archive.read(name))[0] for name in names]
        assert said == [f"{self.base_url}/s/{code}" for code in self.codes]


def test_a_worker_killed_in_the_middle_of_a_render_costs_nothing(app: Any, conn: Any, server: RunningServer) -> None:
    studio = Studio(app, conn, server, codes=300)
    url = studio.ask(size=601)  # in pieces of sixty
    eventually(lambda: studio.done(url))
    killed = eventually(lambda: server.kill("worker"))
    restarted(server, "worker", than=killed)

    studio.assert_whole(studio.finished(url))


def has_moved(studio: Studio, url: str, done: int) -> bool:
    """Whether more is done by now than that, or all."""
    told = studio.client.get(url)
    return bool(told["done"] > done or told["status"] == "done")


@pytest.mark.long
def test_5000_codes_while_workers_are_killed_every_few_seconds(app: Any, conn: Any, server: RunningServer) -> None:
    """A second render of the same codes is canceled in the middle, and a third one starts clean."""
    studio = Studio(app, conn, server, codes=5_000)
    before = set(files(server))
    url = studio.ask(size=601)
    deadline, kills = time.monotonic() + 300, 0
    while studio.client.get(url)["status"] in ("queued", "running"):
        assert time.monotonic() < deadline
        eventually(partial(has_moved, studio, url, studio.done(url)))
        if kills < 12:
            killed = eventually(lambda: server.kill("worker"))
            restarted(server, "worker", than=killed)
            kills += 1
    assert kills > 3
    studio.assert_whole(studio.finished(url))

    canceled = studio.ask(size=601)
    eventually(lambda: studio.done(canceled))
    studio.client.call("DELETE", canceled)
    assert studio.finished(canceled)["status"] == "canceled"
    again = studio.ask()
    studio.assert_whole(studio.finished(again))
    eventually(lambda: len(set(files(server)) - before) == 2)


def files(server: RunningServer) -> list[str]:
    """What is kept: drafts of killed workers are cleaned up a day later."""
    return [name for _, _, names in os.walk(server.data / "files" / "kept") for name in names]


def test_canceled_it_leaves_nothing_and_another_one_starts_clean(app: Any, conn: Any, server: RunningServer) -> None:
    studio = Studio(app, conn, server, codes=400)
    before = set(files(server))
    url = studio.ask(size=601)
    eventually(lambda: studio.done(url))
    studio.client.call("DELETE", url)
    again = studio.ask()

    studio.assert_whole(studio.finished(again))

    assert studio.finished(url)["status"] in ("canceled", "done")
    eventually(lambda: len(set(files(server)) - before) == 1)


def test_staff_follows_a_render_and_the_log_has_no_signature(app: Any, conn: Any, server: RunningServer) -> None:
    studio = Studio(app, conn, server, codes=130)
    with Follower(server.base_url, f"/ws/organizations/{studio.org_id}", studio.admin) as follower:
        url = studio.ask(size=601)
        eventually(lambda: any(told["event"] == "render_done" for told in follower.told))
    events = [(told["event"], told["done"]) for told in follower.told]
    assert events[-1] == ("render_done", 130)
    assert {event for event, _ in events[:-1]} == {"render_progress"}
    assert len(events) == 4
    told = studio.finished(url)
    studio.assert_whole(told)
    signature = parse_qs(urlsplit(told["download_url"]).query)["signature"][0]
    eventually(lambda: f"{url}/download" in server.output())
    assert signature not in server.output()
