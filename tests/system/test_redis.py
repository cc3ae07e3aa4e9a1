"""Redis unavailable, emptied and halted: work is delayed, nothing is lost, and no client gets an error."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from script.stack.ports import free_port
from tests.support.polling import eventually
from tests.system.conftest import Stage
from tests.system.load import Load
from tests.system.processes import halted, own_process, restarted

pytestmark = pytest.mark.system


def test_redis_killed_and_started_again_empty_loses_nothing(stage: Stage) -> None:
    scans = stage.game.scans(600)
    with (
        redis.Redis.from_url(stage.server.urls["REDIS_URL"]) as client,
        stage.followed() as (player, organization),
    ):
        with stage.load.under_way(scans):
            stage.load.until_accepted(200)
            client.set("witness", "of what was before")
            forget(stage.server.data / "redis")
            killed = stage.server.kill("redis")
            restarted(stage.server, "redis", than=killed)
            eventually(lambda: answers(client))
            assert client.get("witness") is None
        assert stage.load.answers == {202: 1 + len(scans)}
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)


def forget(data: Path) -> None:
    """Remove the append-only files of Redis, which continues to write to the deleted ones."""
    for kept in data.glob("appendonly*"):
        shutil.rmtree(kept) if kept.is_dir() else kept.unlink()


def answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def test_a_redis_that_says_nothing_holds_no_scan_up(stage: Stage) -> None:
    """A halted Redis accepts connections and never answers, which is worse than a refused connection."""
    scans = stage.game.scans(150)
    with stage.followed() as (player, organization):
        with halted(stage.server.pids("redis")):
            stage.load.hand_in_all(scans)
        assert stage.load.answers == {202: 1 + len(scans)}
        stage.assert_settled_once()
        stage.assert_heard_all(player, organization)


def test_web_starts_without_redis_says_so_and_accepts_scans(stage: Stage, log_file: Callable[[str], Path]) -> None:
    port, nowhere = str(free_port()), f"redis://127.0.0.1:{free_port()}/0"
    gunicorn = ("gunicorn", "--config", "web/gunicorn_conf.py", "web.app:create_app()")
    with own_process(stage.server, log_file("web"), *gunicorn, PORT=port, REDIS_URL=nowhere) as web:
        web.until_it_says("Booting worker")
        lonely = Load(f"http://127.0.0.1:{port}")
        eventually(lambda: lonely.ask("GET", "/healthz").status == 200)
        ready = lonely.ask("GET", "/readyz")
        assert (ready.status, ready.headers["Content-Type"]) == (503, "application/problem+json")
        assert "redis" in ready.json()["detail"]
        assert "postgresql" not in ready.json()["detail"]

        lonely.hand_in_all(stage.game.scans(20))
        stage.load.accepted.update(lonely.accepted)
        stage.assert_settled_once()  # the scheduler's poll finds them

        scan = stage.game.scans(1, seed=2)[0]
        waited = lonely.ask("POST", "/scan", scan.player, scan.body(), Prefer="wait=2")
        assert waited.status in (200, 202)
