"""One scheduler leads and sends; the others wait."""

import threading

import pytest

from shared.infra.db import Conn
from shared.infra.leader_election import leadership
from shared.infra.message_sender import background_sender
from shared.messages import CleanUp, Message, ScansPending
from workers import scheduler


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    result: list[Message] = []
    monkeypatch.setattr(background_sender, "submit", result.append)
    return result


def test_two_schedulers_fire_a_job_once(sent: list[Message], conn: Conn) -> None:
    stopping = threading.Event()
    with leadership("test", stopping) as first:
        assert first is not None
        standing_by = threading.Thread(target=lead_and_fire, args=(stopping,))
        standing_by.start()
        scheduler.send_if_leader(first, ScansPending())
        assert sent == [ScansPending()]
        stopping.set()
        standing_by.join(10)
    assert sent == [ScansPending()]


def lead_and_fire(stopping: threading.Event) -> None:
    with leadership("test", stopping) as lead:
        if lead is not None:
            scheduler.send_if_leader(lead, ScansPending())


def test_standby_leads_after_the_leader_dies(conn: Conn) -> None:
    stopping = threading.Event()
    with leadership("test", stopping) as first:
        assert first is not None
        conn.execute("SELECT pg_terminate_backend(%s)", (first.conn.info.backend_pid,))
        with leadership("test", stopping) as second:
            assert second is not None
            assert second.is_held()
        assert not first.is_held()


def test_a_leader_that_lost_its_lock_sends_nothing(sent: list[Message], conn: Conn) -> None:
    with leadership("test", threading.Event()) as lead:
        assert lead is not None
        conn.execute("SELECT pg_terminate_backend(%s)", (lead.conn.info.backend_pid,))
        scheduler.send_if_leader(lead, CleanUp())
    assert sent == []


def test_every_job_runs_at_once_and_again(conn: Conn) -> None:
    with leadership("test", threading.Event()) as lead:
        assert lead is not None
        jobs = {job.id: job for job in scheduler.build_scheduler(lead).get_jobs()}
    assert set(jobs) == {
        "poll-scans",
        "poll-images",
        "poll-imports",
        "poll-renders",
        "poll-assemblies",
        "poll-rollups",
        "poll-erasures",
        "cleanup",
    }
    assert all(job.next_run_time for job in jobs.values())
