"""The view `backlog`: the open work of each queue."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from shared.accounts import erasure
from shared.generated_codes import store as generated_codes
from shared.generated_codes.rules import GenerateRequest
from shared.imports import store as imports
from shared.infra import backlog
from shared.infra.db import Conn
from tests.infra.other_database import scaler_database
from tests.renders.factories import add_render, work
from tests.support.factories import make_code, make_held_scan, make_org, make_player, submit_scan

QUEUES = ("erasures", "images", "imports", "renders", "scans")


def waiting(conn: Conn) -> dict[str, int]:
    return {each.queue: each.waiting for each in backlog.load(conn)}


def test_empty_queues_have_zeros(conn: Conn) -> None:
    assert backlog.load(conn) == [backlog.QueueBacklog(queue, 0, 0.0) for queue in QUEUES]


def test_open_rows_are_counted_and_finished_ones_are_not(conn: Conn) -> None:
    org, player = make_org(conn), make_player(conn)
    code = make_code(conn, org)
    for _ in range(3):
        submit_scan(conn, player, code)
    make_held_scan(conn, player, code)
    for _ in range(2):
        generated_codes.add(conn, None, GenerateRequest(data="text"), ttl=timedelta(hours=1))
    imports.create(conn, org, [], partial=False)
    add_render(conn, org, [code])
    erasure.erase(conn, make_player(conn), {})
    assert waiting(conn) == {"erasures": 1, "images": 2, "imports": 1, "renders": 2, "scans": 3}

    work()
    conn.execute("UPDATE imports SET status = 'done', finished_at = now()")

    assert waiting(conn) == {"erasures": 1, "images": 2, "imports": 0, "renders": 0, "scans": 3}


def test_age_is_that_of_the_oldest_row(conn: Conn) -> None:
    player, code = make_player(conn), make_code(conn)
    for minutes in (0, 10, 5):
        scan = submit_scan(conn, player, code)
        conn.execute(
            "UPDATE player_scans SET received_at = now() - make_interval(mins => %s) WHERE id = %s", (minutes, scan)
        )
    (scans,) = [each for each in backlog.load(conn) if each.queue == "scans"]
    assert 600 <= scans.oldest_seconds < 660


def test_each_count_reads_an_index_of_open_rows(conn: Conn) -> None:
    with conn.transaction():
        conn.execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in conn.execute("EXPLAIN SELECT * FROM backlog"))
    for index in (
        "player_scans_pending",
        "generated_codes_pending",
        "render_chunks_pending",
        "render_jobs_open",
        "imports_open",
    ):
        assert index in plan


@pytest.fixture
def scaler(conn: Conn) -> Iterator[str]:
    with scaler_database(conn) as url:
        yield url


def test_autoscaler_reads_nothing_but_the_backlog(scaler: str) -> None:
    with psycopg.connect(scaler, autocommit=True, options="-c role=waymark_scaler") as conn:
        assert conn.execute("SELECT waiting FROM backlog WHERE queue = 'scans'").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("SELECT FROM player_scans")
