"""All of Waymark with a read replica that is three seconds behind, and that is killed while staff read."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from script.stack import running_server, temporary_postgres
from tests.support.polling import eventually
from tests.support.replica import Replica, streaming_replica
from tests.system.conftest import SERVER_ENVIRONMENT, Stage, set_up
from tests.system.processes import ENVIRONMENT

pytestmark = [pytest.mark.system, pytest.mark.long]

REPORTS = ("/timeline", "/timeline.csv", "/stats", "/audit", "/scans.csv?status=success", "/qr-codes/export")


@contextmanager
def staff_reading(stage: Stage) -> Iterator[Counter[int]]:
    """Read all reports again and again while the body runs. Yield the status codes."""
    answers: Counter[int] = Counter()
    stopping = threading.Event()

    def read() -> None:
        while not stopping.is_set():
            for report in REPORTS:
                path = f"/api/organizations/{stage.game.org_id}{report}"
                answers[stage.load.ask("GET", path, stage.game.owner).status] += 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield answers
    finally:
        stopping.set()
        reader.join()


def test_killed_replica_fails_no_report(app: Any) -> None:
    with temporary_postgres() as primary, streaming_replica(primary.url, delay_seconds=3) as replica:
        urls = {"DATABASE_URL": primary.url, "DATABASE_READ_URL": replica.url}
        with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, **urls}) as server:
            stage = set_up(server, app, primary.url)
            replica.until_replayed()
            with staff_reading(stage) as answers:
                stage.load.hand_in_all(stage.game.scans(100))
                until_used(replica)
                replica.kill()
                stage.load.hand_in_all(stage.game.scans(100, seed=2))
                replica.start()
                until_used(replica)
            assert set(answers) == {200}
            assert set(stage.load.answers) == {202}
            stage.assert_settled_once()


def until_used(replica: Replica) -> None:
    """Return once web has sent a statement to the replica."""
    with psycopg.connect(replica.url, autocommit=True) as conn:
        eventually(
            lambda: (
                conn.execute(
                    "SELECT FROM pg_stat_activity WHERE application_name = 'waymark' AND query LIKE '%%events_read%%'"
                ).rowcount
            )
        )
