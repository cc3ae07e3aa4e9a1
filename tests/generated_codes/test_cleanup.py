"""Cleanup: what has expired goes, with its pictures, in batches; nothing else does, however often it runs."""

import os
import subprocess
import sys
from typing import Any
from uuid import UUID, uuid4

import pytest

from script.stack.running_server import CHECKOUT
from shared.generated_codes import store
from shared.infra import db
from shared.infra.db import Conn
from tests.generated_codes.factories import ask, count, expire
from tests.support.concurrency import run_concurrently
from tests.support.factories import make_code, make_player, submit_scan
from workers import cleanup
from workers import generated_codes as worker


def drawn(conn: Conn, n: int) -> list[UUID]:
    """Codes with their pictures, all of which expired an hour ago."""
    asked = [ask(conn) for _ in range(n)]
    worker.render_pending()
    for code_id in asked:
        expire(conn, code_id, by="1 hour")
    return asked


def test_expired_codes_go_with_their_pictures_and_the_report_says_so(conn: Conn) -> None:
    stays = ask(conn)
    drawn(conn, 3)
    row = conn.execute("SELECT sum(octet_length(data)) FROM generated_images WHERE code_id <> %s", (stays,)).fetchone()
    assert row is not None

    report = cleanup.purge_all()

    assert (report.generated_codes, report.generated_image_bytes) == (3, row[0])
    assert [code_id for (code_id,) in conn.execute("SELECT id FROM generated_codes")] == [stays]
    assert [code_id for (code_id,) in conn.execute("SELECT code_id FROM generated_images")] == [stays]


def test_nothing_goes_before_its_time(conn: Conn) -> None:
    for expiry in ("now() + interval '1 second' * 30", "'infinity'", "NULL"):
        code_id = ask(conn)
        conn.execute(f"UPDATE generated_codes SET expires_at = {expiry} WHERE id = %s", (code_id,))
    player, code = make_player(conn), make_code(conn)
    submit_scan(conn, player, code)
    conn.execute("UPDATE events SET at = now() - interval '1 year'")  # no relay has published it
    conn.execute("UPDATE player_scans SET received_at = now() - interval '1 year'")

    report = cleanup.purge_all()

    assert set(report.__dict__.values()) == {0}
    assert (count(conn), count(conn, "player_scans"), count(conn, "events")) == (3, 1, 1)


def test_it_works_in_batches(conn: Conn) -> None:
    drawn(conn, 5)

    removed = [store.purge_expired(conn, limit=2) for _ in range(4)]

    assert [one.codes for one in removed] == [2, 2, 1, 0]
    assert [one.image_bytes > 0 for one in removed] == [True, True, True, False]


def test_all_batches_are_run(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(conn, 5)
    monkeypatch.setattr(cleanup, "CODES_BATCH_SIZE", 2)

    assert cleanup.purge_all().generated_codes == 5
    assert count(conn) == 0


def test_side_by_side_each_code_is_counted_once(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(conn, 60)
    monkeypatch.setattr(cleanup, "CODES_BATCH_SIZE", 3)

    reports = run_concurrently([cleanup.purge_all] * 4)
    again = cleanup.purge_all()

    assert sum(report.generated_codes for report in (*reports, again)) == 60
    assert (count(conn), count(conn, "generated_images"), count(conn, "generated_tombstones")) == (0, 0, 60)


def test_side_by_side_sessions_and_keys_go_once(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_running_it_again_changes_nothing(conn: Conn) -> None:
    drawn(conn, 2)
    cleanup.clean_up()

    cleanup.clean_up()

    assert set(cleanup.purge_all().__dict__.values()) == {0}


def test_it_waits_for_nobody(conn: Conn) -> None:
    """A code that somebody holds is left for the next run."""
    held, _free = drawn(conn, 2)
    with db.transaction() as other:
        other.execute("SELECT FROM generated_codes WHERE id = %s FOR NO KEY UPDATE", (held,))

        assert store.purge_expired(conn, limit=9).codes == 1

    assert store.purge_expired(conn, limit=9).codes == 1


def test_a_crash_in_the_middle_leaves_the_code_and_its_picture(conn: Conn) -> None:
    drawn(conn, 1)

    def crash() -> None:
        with db.transaction() as own:
            assert store.purge_expired(own, limit=9).codes == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        crash()

    assert (count(conn), count(conn, "generated_images"), count(conn, "generated_tombstones")) == (1, 1, 0)


def test_no_picture_is_without_its_code(conn: Conn) -> None:
    """The schema holds it: there is no moment at which a picture could be left behind."""
    ask(conn)
    worker.render_pending()
    conn.execute("DELETE FROM generated_codes")
    assert count(conn, "generated_images") == 0


def test_tombstones_stand_for_a_year(conn: Conn) -> None:
    for age in ("364 days", "366 days", "1000 days"):
        conn.execute(
            "INSERT INTO generated_tombstones (id, expires_at) VALUES (%s, now() - %s::interval)", (uuid4(), age)
        )

    assert cleanup.purge_all().generated_tombstones == 2
    assert count(conn, "generated_tombstones") == 1


def test_by_hand_it_prints_what_was_removed(conn: Conn) -> None:
    drawn(conn, 3)

    done = run_by_hand()

    assert done.returncode == 0, done.stderr
    told = {line[:24].strip(): line[24:].strip() for line in done.stdout.splitlines()}
    assert told["generated codes"] == "3"
    assert told["idempotency keys"] == "0"
    assert count(conn) == 0


def test_by_hand_it_needs_no_redis(conn: Conn) -> None:
    drawn(conn, 1)

    done = run_by_hand(REDIS_URL="redis://127.0.0.1:1")

    assert done.returncode == 0, done.stderr
    assert count(conn) == 0


def run_by_hand(**environment: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "workers.cli.cleanup"],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
