"""Reads from a real streaming replica, which fails, falls behind, and cancels queries."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest
from psycopg.errors import UndefinedTable

from shared.analytics import cached_statistics
from shared.analytics.timelines import timeline
from shared.analytics.unaggregated import RollupSubject
from shared.infra import read_replica
from shared.infra.db import Conn
from shared.infra.read_replica import ReadReplica, reading
from shared.settings import settings
from tests.support.callers import Staff
from tests.support.polling import eventually
from tests.support.replica import Replica, streaming_replica
from tests.system.processes import halted


@pytest.fixture(scope="module")
def server() -> Iterator[Replica]:
    with streaming_replica(os.environ["DATABASE_URL"]) as replica:
        yield replica


@pytest.fixture
def replica(server: Replica, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replica]:
    """The replica of this process, which has all that the primary has, and is asked for its lag all the time."""
    monkeypatch.setenv("DATABASE_READ_URL", server.url)
    monkeypatch.setattr(read_replica, "CHECK_SECONDS", 0.02)
    monkeypatch.setattr(read_replica, "PAUSE_SECONDS", 0.0)
    settings.cache_clear()
    read_replica.close()
    read_replica.record_time()
    server.until_replayed()
    eventually(lambda: reading(is_replica))
    yield server
    read_replica.close()
    monkeypatch.undo()
    settings.cache_clear()


@contextmanager
def halted_replay(replica: Replica) -> Iterator[None]:
    """Let the replica stay behind: it answers, without what is committed meanwhile."""
    with psycopg.connect(replica.url, autocommit=True) as conn:
        conn.execute("SELECT pg_wal_replay_pause()")
        eventually(lambda: conn.execute("SELECT pg_get_wal_replay_pause_state()").fetchone() == ("paused",))
        try:
            yield
        finally:
            conn.execute("SELECT pg_wal_replay_resume()")
    replica.until_replayed()


def is_replica(conn: Conn) -> bool:
    row = conn.execute("SELECT pg_is_in_recovery()").fetchone()
    assert row is not None
    return bool(row[0])


def test_reads_use_the_replica(replica: Replica) -> None:
    assert reading(is_replica)


def test_reads_use_the_primary_without_a_replica(conn: Conn) -> None:
    assert not reading(is_replica)


def test_reads_survive_the_death_of_the_replica(replica: Replica) -> None:
    assert reading(is_replica)
    replica.kill()
    assert not reading(is_replica)
    replica.start()
    assert eventually(lambda: reading(is_replica))


def test_replica_that_is_not_tried_after_a_failure(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests do not wait for its timeout one after the other."""
    monkeypatch.setattr(read_replica, "PAUSE_SECONDS", 3_600.0)
    own = read_replica.replica()
    assert own is not None
    own.pause(psycopg.OperationalError("connection refused"))
    monkeypatch.setattr(own, "read", None)
    assert not reading(is_replica)


def test_replica_that_hangs_is_not_used(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts connections and never answers."""
    monkeypatch.setattr(read_replica, "ANSWER_SECONDS", 0.2)
    own = read_replica.replica()
    assert own is not None
    server = psutil.Process(replica.pid)
    with halted([server.pid, *(child.pid for child in server.children(recursive=True))]):
        eventually(lambda: not own.is_usable())
        assert not reading(is_replica)
    assert eventually(lambda: reading(is_replica))


def test_replica_that_is_far_behind_is_not_used(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    read_replica.record_time()
    replica.until_replayed()
    with halted_replay(replica):
        assert reading(is_replica)
        monkeypatch.setattr(read_replica, "MAX_LAG_SECONDS", 0.0)
        eventually(lambda: not reading(is_replica))


def test_recorded_time_ends_the_lag_of_a_quiet_installation(replica: Replica, conn: Conn) -> None:
    """Without it, the last commit would seem ever older, and the replica too far behind."""

    def last_commit(on: Conn) -> datetime:
        row = on.execute("SELECT pg_last_xact_replay_timestamp()").fetchone()
        assert row is not None
        moment: datetime = row[0]
        return moment

    before = reading(last_commit)
    read_replica.record_time()
    replica.until_replayed()
    assert reading(last_commit) > before


def test_canceled_query_runs_on_the_primary(replica: Replica, conn: Conn) -> None:
    """The replica cancels a query whose rows a vacuum of the primary has removed."""
    conn.execute("INSERT INTO players (username) SELECT 'player' || n FROM generate_series(1, 100) n")
    replica.until_replayed()
    ran_on: list[bool] = []

    def count(on: Conn) -> int:
        ran_on.append(is_replica(on))
        with on.transaction():
            on.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            on.execute("SELECT count(*) FROM players")
            if ran_on[-1]:
                conn.execute("DELETE FROM players")
                conn.execute("VACUUM players")
                on.execute("SELECT pg_sleep(60)")
            row = on.execute("SELECT count(*) FROM players").fetchone()
        assert row is not None
        return int(row[0])

    assert reading(count) == 0
    assert ran_on == [True, False]


def test_error_of_a_query_is_raised_by_the_primary(replica: Replica) -> None:
    with pytest.raises(UndefinedTable):
        reading(lambda conn: conn.execute("SELECT FROM no_such_table"))


def test_time_of_a_timeline_is_that_of_the_replica(replica: Replica, staff: Staff) -> None:
    replica.until_replayed()
    with halted_replay(replica):
        before = datetime.now(UTC)
        days = reading(timeline, RollupSubject(staff.org_id, staff.org_id), "7d", "UTC", before)
        assert days.as_of < before


def add_code(client: Any, staff: Staff) -> None:
    response = client.post(staff.codes, json={"scan_type": "item_drop"}, headers=staff.owner.headers)
    assert response.status_code == 201, response.text


def number_of_codes(org_id: UUID) -> int:
    return int(cached_statistics.of_organization(org_id, "UTC")["codes"])


def test_statistics_of_a_replica_that_is_behind_are_not_cached(replica: Replica, staff: Staff, client: Any) -> None:
    replica.until_replayed()
    with halted_replay(replica):
        add_code(client, staff)
        assert number_of_codes(staff.org_id) == 1
    assert number_of_codes(staff.org_id) == 1


def test_statistics_stay_wrong_without_a_check_of_the_version(
    replica: Replica, staff: Staff, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control of the previous test."""
    monkeypatch.setattr(cached_statistics, "_count_at", lambda version, version_of, count: reading(count))
    replica.until_replayed()
    with halted_replay(replica):
        add_code(client, staff)
        assert number_of_codes(staff.org_id) == 0
    assert number_of_codes(staff.org_id) == 0


@pytest.mark.parametrize(
    "path",
    [
        "/audit",
        "/timeline",
        "/timeline.csv",
        "/stats",
        "/scans.csv",
        "/redemptions.csv",
        "/redemptions/daily",
        "/qr-codes/export",
    ],
)
def test_reports_are_read_from_the_replica(
    replica: Replica, staff: Staff, client: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    replica.until_replayed()
    used: list[bool] = []
    read = ReadReplica.read

    def count(own: ReadReplica, query: Callable[..., Any], *args: Any, **options: Any) -> Any:
        used.append(True)
        return read(own, query, *args, **options)

    monkeypatch.setattr(ReadReplica, "read", count)
    assert client.get(f"{staff.path}{path}", headers=staff.owner.headers).status_code == 200
    assert any(used)


def test_replica_that_is_behind_grants_no_access(replica: Replica, staff: Staff, client: Any, conn: Conn) -> None:
    """Roles and sessions are read from the primary."""
    replica.until_replayed()
    with halted_replay(replica):
        conn.execute("DELETE FROM memberships WHERE player_id = %s", (staff.admin.id,))
        assert client.get(f"{staff.path}/audit", headers=staff.admin.headers).status_code == 403
        conn.execute("DELETE FROM sessions WHERE player_id = %s", (staff.owner.id,))
        assert client.get(f"{staff.path}/audit", headers=staff.owner.headers).status_code == 401
