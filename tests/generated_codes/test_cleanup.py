"""Cleanup deletes expired codes and their images, in batches, and nothing else."""

import os
import re
import subprocess
import sys
from dataclasses import asdict
from typing import Any
from uuid import UUID, uuid4

import pytest

from script.stack.running_server import CHECKOUT
from shared.generated_codes import store
from shared.infra import db
from shared.infra.db import Conn
from tests.generated_codes.factories import ask, count, expire
from tests.support.command_line import waymark_json
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_code, make_player, submit_scan
from workers import cleanup
from workers import generated_codes as worker


def make_expired_codes(conn: Conn, n: int) -> list[UUID]:
    """Create codes with images that expired an hour ago."""
    code_ids = [ask(conn) for _ in range(n)]
    worker.render_pending()
    for code_id in code_ids:
        expire(conn, code_id, by="1 hour")
    return code_ids


def test_expired_codes_and_images_are_deleted_and_reported(conn: Conn) -> None:
    active = ask(conn)
    make_expired_codes(conn, 3)
    row = conn.execute("SELECT sum(octet_length(data)) FROM generated_images WHERE code_id <> %s", (active,)).fetchone()
    assert row is not None

    report = cleanup.purge_all()

    assert (report.generated_codes, report.generated_image_bytes) == (3, row[0])
    assert [code_id for (code_id,) in conn.execute("SELECT id FROM generated_codes")] == [active]
    assert [code_id for (code_id,) in conn.execute("SELECT code_id FROM generated_images")] == [active]


def test_dry_run_counts_and_deletes_nothing(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "CODES_BATCH_SIZE", 2)
    cleanup.purge_all()  # other tests leave files of renders
    make_expired_codes(conn, 5)
    conn.execute("UPDATE events SET at = now() - interval '1 year'")

    counted = waymark_json("cleanup", "--dry-run")

    assert (counted["generated_codes"], count(conn)) == (5, 5)
    assert counted["generated_image_bytes"] > 0
    assert asdict(cleanup.purge_all()) == counted
    assert count(conn) == 0


def test_active_codes_are_not_deleted(conn: Conn) -> None:
    # Other tests leave files of renders.
    cleanup.purge_all()
    for expiry in ("now() + interval '1 second' * 30", "'infinity'", "NULL"):
        code_id = ask(conn)
        conn.execute(f"UPDATE generated_codes SET expires_at = {expiry} WHERE id = %s", (code_id,))
    player, code = make_player(conn), make_code(conn)
    submit_scan(conn, player, code)
    conn.execute("UPDATE events SET at = now() - interval '1 year'")
    conn.execute("UPDATE player_scans SET received_at = now() - interval '1 year'")

    report = cleanup.purge_all()

    assert set(report.__dict__.values()) == {0}
    assert (count(conn), count(conn, "player_scans"), count(conn, "events")) == (3, 1, 1)


def test_purge_deletes_in_batches(conn: Conn) -> None:
    make_expired_codes(conn, 5)

    results = [store.purge_expired(conn, limit=2) for _ in range(4)]

    assert [result.codes for result in results] == [2, 2, 1, 0]
    assert [result.image_bytes > 0 for result in results] == [True, True, True, False]


def test_cleanup_runs_all_batches(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    make_expired_codes(conn, 5)
    monkeypatch.setattr(cleanup, "CODES_BATCH_SIZE", 2)

    assert cleanup.purge_all().generated_codes == 5
    assert count(conn) == 0


def test_concurrent_cleanups_count_each_code_once(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    make_expired_codes(conn, 60)
    monkeypatch.setattr(cleanup, "CODES_BATCH_SIZE", 3)

    reports = run_concurrently([cleanup.purge_all] * 4)
    again = cleanup.purge_all()

    assert sum(report.generated_codes for report in (*reports, again)) == 60
    assert (count(conn), count(conn, "generated_images"), count(conn, "generated_tombstones")) == (0, 0, 60)


def test_concurrent_cleanups_delete_sessions_and_keys_once(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    conn.execute(
        """
        INSERT INTO idempotency_keys (caller_id, key, request_digest, response_status, response_headers,
                                      response_body, created_at)
        SELECT gen_random_uuid(), 'k', '', 201, '{}', '', now() - interval '2 days' FROM generate_series(1, 200)
        """
    )
    conn.execute(
        """
        INSERT INTO sessions (id, player_id, expires_at)
        SELECT gen_random_uuid(), %s, now() - interval '1 day' FROM generate_series(1, 200)
        """,
        (make_player(conn),),
    )
    monkeypatch.setattr(cleanup, "BATCH_SIZE", 10)

    reports = [*run_concurrently([cleanup.purge_all] * 4), cleanup.purge_all()]

    assert sum(report.idempotency_keys for report in reports) == 200
    assert sum(report.sessions for report in reports) == 200


def test_second_cleanup_changes_nothing(conn: Conn) -> None:
    make_expired_codes(conn, 2)
    cleanup.clean_up()

    cleanup.clean_up()

    assert set(cleanup.purge_all().__dict__.values()) == {0}


def test_cleanup_skips_locked_codes(conn: Conn) -> None:
    """The next run deletes a code that another transaction has locked."""
    locked, _free = make_expired_codes(conn, 2)
    with db.transaction() as other:
        other.execute("SELECT FROM generated_codes WHERE id = %s FOR NO KEY UPDATE", (locked,))

        assert store.purge_expired(conn, limit=9).codes == 1

    assert store.purge_expired(conn, limit=9).codes == 1


def test_a_crash_during_the_purge_deletes_nothing(conn: Conn) -> None:
    make_expired_codes(conn, 1)

    def crash() -> None:
        with db.transaction() as own:
            assert store.purge_expired(own, limit=9).codes == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()

    assert (count(conn), count(conn, "generated_images"), count(conn, "generated_tombstones")) == (1, 1, 0)


def test_deleting_a_code_deletes_its_images(conn: Conn) -> None:
    """By a foreign key, so no image is ever without its code."""
    ask(conn)
    worker.render_pending()
    conn.execute("DELETE FROM generated_codes")
    assert count(conn, "generated_images") == 0


def test_tombstones_are_purged_after_a_year(conn: Conn) -> None:
    for age in ("364 days", "366 days", "1000 days"):
        conn.execute(
            "INSERT INTO generated_tombstones (id, expires_at) VALUES (%s, now() - %s::interval)", (uuid4(), age)
        )

    assert cleanup.purge_all().generated_tombstones == 2
    assert count(conn, "generated_tombstones") == 1


def test_cleanup_command_prints_its_report(conn: Conn) -> None:
    make_expired_codes(conn, 3)

    process = run_command()

    assert process.returncode == 0, process.stderr
    report = dict(re.split("  +", line.strip()) for line in process.stdout.splitlines())
    assert report["Generated codes"] == "3"
    assert report["Idempotency keys"] == "0"
    assert count(conn) == 0


def test_cleanup_command_needs_no_redis(conn: Conn) -> None:
    make_expired_codes(conn, 1)

    process = run_command(REDIS_URL="redis://127.0.0.1:1")

    assert process.returncode == 0, process.stderr
    assert count(conn) == 0


def run_command(**environment: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", "cleanup"],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
