"""Metrics of real processes equal what happened, and a real Prometheus finds data for every panel and rule.

tests/monitoring/test_exporters.py has those of the stores.
"""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from script.stack import RunningServer, running_server
from tests.monitoring.expressions import dashboard_expressions, without_data
from tests.support.polling import eventually
from tests.support.prometheus import Samples, lint, needs_prometheus, scrape, scraping, targets, total
from tests.system.conftest import SERVER_ENVIRONMENT, Stage, set_up
from tests.system.load import Scan
from tests.system.processes import ENVIRONMENT

pytestmark = pytest.mark.system

SECONDS = 30.0
OF_OTHER_EXPORTERS = re.compile(r"\b(pg|redis|rabbitmq|pgbouncer)_")


def counted(server: RunningServer) -> tuple[dict[str, float], Samples]:
    """Return what web and worker counted so far, and all samples of web."""
    web, worker = (scrape(targets(server)[name]) for name in ("web", "worker"))
    return {
        "accepted": total(web, "waymark_scans_accepted_total", answer="accepted"),
        "repeated": total(web, "waymark_scans_accepted_total", answer="repeated"),
        "responses": total(web, "waymark_http_requests_total", route="/scan", status="202"),
        "settled": total(worker, "waymark_scans_settled_total"),
        "verdicts timed": total(worker, "waymark_scan_verdict_seconds_count"),
        "scans in batches": total(worker, "waymark_scan_batch_scans_sum"),
        "rewards": total(worker, "waymark_rewards_granted_total", source="scan"),
    }, web


def happened(stage: Stage) -> dict[str, float]:
    """Return the same as the clients and PostgreSQL know it."""
    accepted = len(stage.load.accepted)
    with psycopg.connect(stage.database_url) as conn:
        ((rewards,),) = conn.execute(
            "SELECT count(*) FROM inventory_ledger l JOIN player_scans s ON s.id = l.source_id"
            " WHERE l.source = 'scan' AND s.org_id = %s",
            (stage.game.org_id,),
        )
    return {
        "accepted": accepted,
        "repeated": stage.load.answers[202] - accepted,
        "responses": stage.load.answers[202],
        "settled": accepted,
        "verdicts timed": accepted,
        "scans in batches": accepted,
        "rewards": rewards,
    }


def difference(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}


def test_counters_equal_what_happened(stage: Stage) -> None:
    def is_idle() -> bool:
        with psycopg.connect(stage.database_url) as conn:
            return conn.execute("SELECT FROM player_scans WHERE status = 'pending' LIMIT 1").rowcount == 0

    eventually(is_idle)
    before, _ = counted(stage.server)
    stage.load.hand_in_all(stage.game.scans(40))
    stage.assert_settled_once()

    assert_soon_equal(lambda: difference(counted(stage.server)[0], before), lambda: happened(stage))

    samples = {name: scrape(address) for name, address in targets(stage.server).items()}
    assert [found for address in targets(stage.server).values() if (found := lint(address))] == []
    assert samples.keys() == {"web", "worker", "bulk", "scheduler", "relay", "catalog"}
    assert all(total(each, "waymark_build_info") == 1 for each in samples.values())
    assert total(samples["scheduler"], "waymark_leader", role="scheduler") == 1
    assert total(samples["relay"], "waymark_leader", role="relay") == 1
    assert total(samples["relay"], "waymark_relay_published_events_total") >= len(stage.load.accepted)
    assert {dict(labels)["queue"] for name, labels in samples["scheduler"] if name == "waymark_backlog"} == {
        *("scans", "images", "renders", "imports", "erasures"),
    }


@pytest.fixture
def several(app: Any) -> Iterator[Stage]:
    """A server with two web processes and two worker processes."""
    several = {"WEB_CONCURRENCY": "2", "WORKER_PROCESSES": "2", "MAX_WEBSOCKETS": "100"}
    limits = {"RATE_LIMITS_ENABLED": "true", "RATE_LIMIT_GUEST": "1 per hour", "RATE_LIMIT_SCAN": "5000 per minute"}
    with running_server(env={**ENVIRONMENT, **SERVER_ENVIRONMENT, **several, **limits}) as running:
        yield set_up(running, app)


def assert_soon_equal(counts: Callable[[], dict[str, float]], expected: Callable[[], dict[str, float]]) -> None:
    """The output of each port is cached for a second."""
    with suppress(AssertionError):
        eventually(lambda: counts() == expected())
    assert counts() == expected()


def children(server: RunningServer, name: str) -> list[int]:
    return server.pids(name)[1:]


def has_replaced(server: RunningServer, killed: int) -> bool:
    running = children(server, "web")
    return killed not in running and len(running) == 2


@pytest.mark.long
def test_counters_of_several_processes_equal_what_happened(several: Stage) -> None:
    """Also after one of them was killed. Its counters stay part of the sum, its open sockets do not."""
    server = several.server
    with several.follow_player(), several.follow_player():
        several.load.hand_in_all(several.game.scans(300))
        several.assert_settled_once()
        assert_soon_equal(lambda: counted(server)[0], lambda: happened(several))
        eventually(lambda: total(counted(server)[1], "waymark_websockets_open") == 2)

        killed = children(server, "web")
        assert len(killed) == 2
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
            eventually(partial(has_replaced, server, pid))
    several.load.hand_in_all(several.game.scans(300, seed=2))
    several.assert_settled_once()

    assert_soon_equal(lambda: counted(server)[0], lambda: happened(several))
    eventually(lambda: total(counted(server)[1], "waymark_websockets_open") == 0)
    _, web = counted(server)
    assert [key for key, value in web.items() if value < 0] == []

    # Dramatiq stops when one of its processes is killed, and the counters of a worker restart with it.
    before = happened(several)
    worker = server.pids("worker")
    os.kill(worker[1], signal.SIGKILL)
    eventually(lambda: server.pids("worker")[:1] not in ([], worker[:1]))
    several.load.hand_in_all(several.game.scans(100, seed=3))
    several.assert_settled_once()
    names = {"settled", "verdicts timed", "scans in batches", "rewards"}
    assert_soon_equal(
        lambda: {name: counted(server)[0][name] for name in names},
        lambda: {name: difference(happened(several), before)[name] for name in names},
    )


@pytest.mark.long
@needs_prometheus
def test_prometheus_finds_data_for_every_panel_and_rule(several: Stage, tmp_path: Path) -> None:
    server = several.server
    with psycopg.connect(several.database_url, autocommit=True) as conn:
        conn.execute(
            "INSERT INTO operations_log (operation, backup, backup_at, passed) VALUES ('drill', 'b', now(), true)"
        )
    with scraping(server, tmp_path) as prometheus:
        until, seed = time.monotonic() + SECONDS, 0
        while time.monotonic() < until:
            seed += 1
            use_everything(several, seed)
        eventually(lambda: len(prometheus.query('up{job="waymark"} == 1')) == len(targets(server)))
        expressions = [each for each in dashboard_expressions() if not OF_OTHER_EXPORTERS.search(each)]
        assert len(expressions) > 40
        assert without_data(prometheus, expressions) == []

        rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
        assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
        assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []
        named = {name for rule in rules for name in re.findall(r"waymark_[a-z_]+", rule["query"])}
        assert len(named) > 15
        assert without_data(prometheus, sorted(named)) == []


def use_everything(stage: Stage, seed: int) -> None:
    """Do what the panels show: scans, a socket that ends, an image, a request above a limit, a call of the catalog."""
    with stage.follow_player():
        stage.load.hand_in_all(stage.game.scans(60, seed))
        player = stage.game.players[seed % 10]
        scan = Scan(player, stage.game.codes["open"])
        assert stage.load.ask("POST", "/scan", player, scan.body(), Prefer="wait=5").status == 200
    codes = stage.load.ask("GET", f"/api/organizations/{stage.game.org_id}/qr-codes", stage.game.owner).json()
    image = f"/api/organizations/{stage.game.org_id}/qr-codes/{codes['items'][0]['id']}/image"
    for _ in range(2):
        assert stage.load.ask("GET", image, stage.game.owner).status == 200
    stage.load.ask("POST", "/auth/guest", json={})
    with grpc.insecure_channel(stage.server.urls["GRPC_SERVER_URL"]) as channel:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
