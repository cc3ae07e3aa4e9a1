"""`waymark doctor`: each fault is made for real, and is named with its remedy."""

import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import time_machine
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from script.stack.ports import free_port
from shared.backup import clients
from shared.infra import db, health
from shared.infra.db import Conn
from shared.infra.leader_election import leadership
from shared.infra.redis import client as redis_client
from shared.settings import settings
from tests.support.command_line import environment, run
from tests.support.pgbouncer import needs_pgbouncer, pooler
from workers.cli.diagnosis import backups, machine, postgresql, processes
from workers.cli.diagnosis.checks import Check, without_consequences
from workers.cli.diagnosis.checks import run as run_checks
from workers.cli.diagnosis.findings import Finding, fault, ok, warning

PASSWORD = "vR8qLz2M5xTe"
pytestmark = pytest.mark.usefixtures("fast")


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker takes messages in these tests."""
    monkeypatch.setattr(processes, "TAKEN_WITHIN_SECONDS", 0.0)


def diagnose(**variables: str) -> dict[str, Any]:
    """Return the findings by component."""
    with environment(**variables):
        result = run("doctor", "--json")
    findings = json.loads(result.stdout)
    for finding in findings:
        assert (finding["remedy"] is None) is (finding["state"] == "ok"), finding
    assert result.exit_code == int(any(finding["state"] == "fault" for finding in findings))
    return {finding["component"]: finding for finding in findings}


def assert_fault(finding: dict[str, Any], message: str, remedy: str) -> None:
    assert finding["state"] == "fault", finding
    assert message in finding["message"]
    assert remedy in finding["remedy"]


def test_faults_of_an_installation_without_processes(conn: Conn) -> None:
    closed = f"127.0.0.1:{free_port()}"
    found = diagnose(PUBLIC_URL="https://codes.example", GRPC_SERVER_URL=closed)
    assert_fault(found["scheduler"], "No scheduler runs", "Start the process scheduler")
    assert_fault(found["relay"], "No relay runs", "Start the process relay")
    assert_fault(found["worker"], "No process takes messages of scans, images", "Start the process worker")
    assert_fault(found["bulk"], "No process takes messages of renders, analytics, maint", "Start the process bulk")
    assert (found["web"]["state"], found["catalog"]["state"]) == ("warning", "warning")
    healthy = {"PostgreSQL", "PUBLIC_URL", "connections", "direct URL", "clock", "schema", "Redis", "files", "scans"}
    assert {name for name in healthy if found[name]["state"] != "ok"} == set()

    text = run("doctor")
    assert text.exit_code == 1
    assert "Remedy: Start the process relay" in text.stdout
    assert text.stdout.splitlines()[-1].endswith("warnings")


@pytest.mark.parametrize("url", ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:80", "http://0.0.0.0"])
def test_public_url_on_loopback(conn: Conn, url: str) -> None:
    with environment(PUBLIC_URL=url):
        (finding, *_) = machine.check_settings()
    assert (finding.state, finding.component) == ("fault", "PUBLIC_URL")
    assert finding.remedy is not None
    assert "Set PUBLIC_URL" in finding.remedy


def test_wrong_settings_are_one_fault(conn: Conn) -> None:
    found = diagnose(WORKER_THREADS="none")
    assert list(found) == ["settings"]
    assert_fault(found["settings"], "WORKER_THREADS: Use a whole number", "Correct this environment variable")


def test_check_without_an_answer_is_named_and_the_others_are_not_delayed() -> None:
    """A name is resolved, and a network disk is read, without a time limit."""
    never = threading.Event()

    def hang() -> Iterator[Finding]:
        yield ok("disk of files", "")
        never.wait()

    def fail() -> Iterator[Finding]:
        raise ZeroDivisionError("by zero")

    checks = (Check("disks", hang, "Look."), Check("web", fail, "See."), Check("Redis", lambda: [ok("Redis", "")], ""))
    assert list(run_checks(checks, limit=0.2)) == [
        ok("disk of files", ""),
        fault("disks", "disks gave no answer within 0.2 seconds", "Look."),
        fault("web", "The check failed: ZeroDivisionError: by zero", "Correct the cause, and check again."),
        ok("Redis", ""),
    ]
    never.set()


def test_one_cause_is_one_fault() -> None:
    cause, consequence = fault("relay", "No relay runs", ""), fault("live events", "Live events are late", "")
    assert without_consequences([cause, consequence]) == [cause]
    assert without_consequences([warning("relay", "", ""), consequence]) == [warning("relay", "", ""), consequence]


@pytest.mark.parametrize(
    ("changes", "message", "remedy"),
    [
        ({"host": "host.invalid"}, "resolve host", "Correct the host in DATABASE_URL"),
        ({"password": "wrong"}, "authentication failed", "Correct the user and the password in DATABASE_URL"),
        ({"dbname": "missing"}, 'database "missing" does not exist', "Create the database that DATABASE_URL names"),
        ({"port": "9"}, "refused", "Start PostgreSQL, or correct host and port in DATABASE_URL"),
    ],
)
def test_connection_that_fails_has_a_remedy(changes: dict[str, str], message: str, remedy: str) -> None:
    parts = {"password": "", "user": "waymark"} | conninfo_to_dict(os.environ["DATABASE_URL"]) | changes
    with environment(DATABASE_URL="postgresql://{user}:{password}@{host}:{port}/{dbname}".format_map(parts)):
        with pytest.raises(psycopg.OperationalError) as raised:
            db.dedicated_connection()
        assert_fault(vars(postgresql.unavailable(raised.value)), message, remedy)


@pytest.mark.parametrize(("hours", "state"), [(None, "warning"), (27, "fault"), (25, "ok")])
def test_backup_that_is_overdue(conn: Conn, monkeypatch: pytest.MonkeyPatch, hours: int | None, state: str) -> None:
    assert list(backups.check_age(conn)) == []
    monkeypatch.setattr(backups, "settings", lambda: settings().model_copy(update={"backup_target": "/backups"}))
    if hours is not None:
        conn.execute(
            """
            INSERT INTO operations_log (operation, backup, backup_at, passed)
            VALUES ('drill', 'b', now() - make_interval(hours => %(hours)s), true), ('drill', 'c', now(), false)
            """,
            {"hours": hours},
        )
    (finding,) = backups.check_age(conn)
    assert finding.state == state


def test_unavailable_stores_are_named_and_the_rest_is_checked() -> None:
    found = diagnose(
        DATABASE_URL=f"postgresql://waymark:{PASSWORD}@127.0.0.1:9/waymark", REDIS_URL="redis://127.0.0.1:9"
    )
    assert_fault(found["PostgreSQL"], "PostgreSQL is unavailable", "Start PostgreSQL")
    assert PASSWORD not in str(found)
    assert_fault(found["Redis"], "Redis is unavailable", "Start Redis")
    assert "disk of files" in found
    assert "worker" not in found


@pytest.mark.parametrize("url", ["amqp://127.0.0.1:9", "redis://127.0.0.1:9"])
def test_unavailable_broker(conn: Conn, url: str) -> None:
    with environment(BROKER_URL=url):
        (finding,) = processes.check_broker()
    assert "refused" in finding.message
    assert (finding.component, finding.state) == ("broker", "fault")
    assert list(processes.check_broker()) == []  # it is the Redis of REDIS_URL


def test_read_replica(conn: Conn) -> None:
    found = diagnose(DATABASE_READ_URL=f"postgresql://waymark:{PASSWORD}@127.0.0.1:9/waymark")
    assert found["read replica"]["state"] == "warning"
    assert PASSWORD not in str(found)
    found = diagnose(DATABASE_READ_URL=os.environ["DATABASE_URL"])
    assert found["read replica"]["message"] == "The replica is 0.0 s behind"


def test_redis_that_evicts(conn: Conn) -> None:
    redis_client().config_set("maxmemory-policy", "allkeys-lru")
    try:
        (finding,) = processes.check_redis()
    finally:
        redis_client().config_set("maxmemory-policy", "noeviction")
    assert finding.state == "fault"
    assert "allkeys-lru" in finding.message
    assert finding.remedy is not None
    assert "noeviction" in finding.remedy


def test_schema_behind_missing_and_too_new(conn: Conn) -> None:
    required = health.required_migration()

    def check() -> tuple[str, str]:
        (finding,) = postgresql.check_schema(conn)
        return finding.state, finding.remedy or ""

    with conn.transaction(force_rollback=True):
        conn.execute("UPDATE alembic_version SET version_num = '0000'")
        assert check() == ("fault", "Run `python -m migrations`, the release process.")
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
        assert check() == ("ok", "")
        conn.execute("DELETE FROM schema_floor")
        conn.execute("INSERT INTO schema_floor (code) VALUES (9999)")
        assert check() == ("fault", "Install the newer release.")
    with conn.transaction(force_rollback=True):
        conn.execute("UPDATE alembic_version SET version_num = %s", (required,))
        assert check() == ("ok", "")
        conn.execute("DELETE FROM alembic_version")
        assert check() == ("fault", "Drop the database, create a new one, and restore the backup into it.")
    empty = make_conninfo(os.environ["DATABASE_URL"], dbname="template1")
    with psycopg.connect(empty, autocommit=True) as other:
        (finding,) = postgresql.check_schema(other)
    assert finding.message == "The database has no schema"


def test_pool_larger_than_the_server_allows(conn: Conn) -> None:
    with environment(DATABASE_POOL_SIZE="200"):
        (finding,) = postgresql.check_connections(conn)
        assert finding.state == "fault"
        assert finding.remedy is not None
        assert "Set DATABASE_POOL_SIZE to at most 4" in finding.remedy
    with environment(DATABASE_POOL_SIZE="100"):
        (finding,) = postgresql.check_connections(conn)
        assert finding.state == "warning"
    assert [finding.state for finding in postgresql.check_connections(conn)] == ["ok"]


@needs_pgbouncer
def test_pooler_on_the_direct_url(conn: Conn) -> None:
    with pooler(os.environ["DATABASE_URL"]) as own:
        with environment(DATABASE_URL=own.url), db.dedicated_connection() as direct:
            (finding,) = postgresql.check_direct_url(direct)
            assert finding.state == "fault"
            assert finding.remedy is not None
            assert "Set DATABASE_DIRECT_URL" in finding.remedy
        direct_url = os.environ["DATABASE_URL"]
        with environment(DATABASE_URL=own.url, DATABASE_DIRECT_URL=direct_url), db.dedicated_connection() as direct:
            assert [finding.state for finding in postgresql.check_direct_url(direct)] == ["ok"]


@pytest.mark.parametrize(("seconds", "state"), [(61, "fault"), (-61, "fault"), (5, "warning"), (0, "ok")])
def test_clock_that_is_wrong(conn: Conn, seconds: int, state: str) -> None:
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=seconds)):
        (finding,) = postgresql.check_clock(conn)
    assert finding.state == state
    if state == "fault":
        assert f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} PostgreSQL's" in finding.message


@pytest.mark.parametrize(
    ("printed", "target", "state"),
    [
        ("pg_dump (PostgreSQL) 14.9", None, "warning"),
        ("pg_dump (PostgreSQL) 14.9", "/backups", "fault"),
        ("pg_dump (PostgreSQL) 99.1", "/backups", "ok"),
    ],
)
def test_pg_dump_older_than_the_server(
    conn: Conn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, target: str | None, state: str
) -> None:
    program = tmp_path / "pg_dump"
    program.write_text(f"#!/bin/sh\necho '{printed}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(clients, "candidates", lambda _program: [program])
    changed = settings().model_copy(update={"backup_target": target})
    monkeypatch.setattr(backups, "settings", lambda: changed)
    (finding,) = backups.check_pg_dump(conn)
    assert finding.state == state


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = subprocess.run(
        ("/bin/mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(tmp_path)), capture_output=True
    )
    if mount.returncode != 0:
        pytest.skip("this machine allows no mount")
    try:
        finding = machine.check_disk("files", tmp_path / "files", probe=True)
        with environment(FILES_DIR=str(tmp_path / "files")):
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
            assert [found.component for found in machine.check_disks()] == ["disk of temporary files"]
            assert list(machine.check_postgresql_disk(tmp_path)) == []
            monkeypatch.undo()
    finally:
        subprocess.run(("/bin/umount", str(tmp_path)), check=True)
    assert finding.state == "fault"
    assert "Free space on the disk of" in (finding.remedy or "")
    assert machine.check_disk("files", tmp_path / "files", probe=True).state != "fault"


def test_files_that_are_not_shared(conn: Conn, tmp_path: Path) -> None:
    assert [finding.state for finding in machine.check_files()] == ["ok"]
    from shared.infra.storage.factory import storage

    with environment(FILES_DIR=str(tmp_path)):
        storage.reset()
        (finding,) = machine.check_files()
    storage.reset()
    assert finding.state == "fault"
    assert "waymark files adopt" in (finding.remedy or "")


def test_leader_that_is_halted(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    stopping = threading.Event()
    with leadership("relay", stopping) as lead:
        assert lead is not None
        assert [finding.state for finding in processes.check_leader(conn, "relay")] == ["ok"]
        monkeypatch.setattr(processes, "find_leader_silence", lambda *_: 16.0)
        (finding,) = processes.check_leader(conn, "relay")
        assert (finding.state, finding.remedy) == ("fault", "Restart the process relay.")


def test_scans_and_events_that_wait(conn: Conn) -> None:
    from tests.support.factories import make_code, make_player, submit_scan

    submit_scan(conn, make_player(conn), make_code(conn))
    conn.execute("UPDATE player_scans SET received_at = now() - interval '2 minutes'")
    conn.execute("UPDATE events SET at = now() - interval '2 minutes'")
    (scans,) = processes.check_scans(conn)
    (events,) = processes.check_relay_lag(conn)
    assert (scans.state, events.state) == ("fault", "fault")
    assert scans.message == "1 scans wait for a verdict, the oldest for 120 s"


def test_web_and_catalog_that_answer(conn: Conn) -> None:
    with ExitStack() as stack:
        catalog = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        with environment(GRPC_SERVER_URL=f"127.0.0.1:{catalog.getsockname()[1]}"):
            assert [finding.state for finding in processes.check_catalog()] == ["ok"]
