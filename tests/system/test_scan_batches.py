"""Real HTTP: a batch of scans whose response never arrives."""

import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from urllib3.exceptions import HTTPError

from tests.support.polling import eventually
from tests.system.conftest import Stage
from tests.system.load import Scan
from tests.system.processes import restarted, send

pytestmark = pytest.mark.system


def test_a_web_process_that_dies_before_its_response_stores_each_scan_once(stage: Stage) -> None:
    """The batch waits for a lock of the test. Web is halted there, PostgreSQL commits the batch, and web is killed."""
    player = stage.game.players[0]
    scans = [Scan(player, stage.game.codes[name]) for name in ("open", "once", "once", "thrice", "few") * 4]
    scanned_at = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()

    def submit() -> Any:
        items = [scan.body() | {"scanned_at": scanned_at} for scan in scans]
        body = {"sent_at": datetime.now(UTC).isoformat(), "scans": items}
        return stage.load.ask("POST", "/scans/batch", player, body)

    def replay() -> list[dict[str, Any]] | None:
        try:
            response = submit()
        except HTTPError:
            return None
        return list(response.json()["scans"]) if response.status == 202 else None

    values = stage.server.pids("web")
    with psycopg.connect(stage.database_url, autocommit=True) as conn, ThreadPoolExecutor(1) as threads:
        with conn.transaction(force_rollback=True):
            conn.execute(
                "INSERT INTO player_scans (player_id, qr_code, nonce) VALUES (%s, 'x', %s)", (player.id, scans[0].nonce)
            )
            lost = threads.submit(submit)
            eventually(lambda: is_waiting(stage.database_url))
            send(signal.SIGSTOP, values)
        eventually(lambda: stored(conn, scans) == len(scans))
        send(signal.SIGKILL, values)
        with pytest.raises(HTTPError):
            lost.result()
        restarted(stage.server, "web", than=values)
        first, second = eventually(replay), eventually(replay)
        assert stored(conn, scans) == len(scans)
    assert first is not None
    assert first == second
    assert {entry["status"] for entry in first} == {"pending"}
    stage.load.accepted |= {
        (player.id, scan.nonce): UUID(entry["scan_id"]) for scan, entry in zip(scans, first, strict=True)
    }
    stage.assert_settled_once()


def is_waiting(database_url: str) -> bool:
    with psycopg.connect(database_url, autocommit=True) as conn:
        return conn.execute("SELECT FROM pg_locks WHERE NOT granted").rowcount > 0


def stored(conn: psycopg.Connection[Any], scans: list[Scan]) -> int:
    return conn.execute("SELECT FROM player_scans WHERE nonce = ANY(%s)", ([scan.nonce for scan in scans],)).rowcount
