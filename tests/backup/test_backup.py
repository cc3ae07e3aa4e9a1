"""A backup restores to equal data; damage, another database and broken promises are found."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from shared.backup import clients, dump, invariants, manifest, operations_log, targets
from shared.backup.drill import SCRATCH, drill, scratch_database
from shared.backup.errors import BackupDamaged, BackupError
from shared.backup.manifest import MANIFEST
from shared.backup.private_directories import is_abandoned, private_directory
from shared.backup.restore import restore
from shared.backup.targets import BucketTarget, DirectoryTarget, Target, target_of
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.storage.base import StorageError
from shared.settings import settings
from tests.quests.scan_quests import annul, make_landmarks, make_quest, visit
from tests.support.database import empty_database
from tests.support.factories import make_org, make_player


def furnish(conn: Conn) -> None:
    """Settle scans with rewards, annul one of them, and claim and redeem rewards by hand."""
    org_id, player_id = make_org(conn), make_player(conn)
    make_quest(conn, org_id)
    scans = [visit(conn, player_id, code) for code in make_landmarks(conn, org_id, 4)]
    annul(scans[-1])
    conn.execute(
        """
        WITH claim AS (
            INSERT INTO quest_claims (id, player_id, quest, completion, org_id, item, quantity, at)
            VALUES (gen_random_uuid(), %(player_id)s, 'walk', 1, %(org_id)s, 'ruby', 3, now()) RETURNING *
        ), redemption AS (
            INSERT INTO redemptions (id, token_digest, player_id, org_id, item, quantity, confirmed_by)
            VALUES (gen_random_uuid(), 'token', %(player_id)s, %(org_id)s, 'gem', 1, %(player_id)s) RETURNING *
        )
        INSERT INTO inventory_ledger (player_id, org_id, item, quantity, source, source_id)
        SELECT player_id, org_id, item, quantity, 'quest', id FROM claim
        UNION ALL SELECT player_id, org_id, item, -quantity, 'redemption', id FROM redemption
        """,
        {"org_id": org_id, "player_id": player_id},
    )


@pytest.fixture(scope="module")
def created(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup. A player registers after its snapshot, before pg_dump reads the players."""
    run = clients.run

    def run_later(path: Path, url: str, arguments: Any) -> None:
        with db.connection() as other:
            make_player(other)
        run(path, url, arguments)

    root = tmp_path_factory.mktemp("backups") / "target"
    with db.connection() as conn:
        empty_database(conn)
        furnish(conn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "run", run_later)
        return root / dump.create(DirectoryTarget(root)).name


@pytest.fixture(scope="module")
def server_url() -> str:
    return settings().direct_database_url.get_secret_value()


def test_drill_proves_a_backup(created: Path, server_url: str, conn: Conn) -> None:
    steps: list[str] = []
    report = drill(created, server_url, steps.append)

    assert [step.partition(" ")[0] for step in steps] == [
        "Checking",
        "Restoring",
        "Comparing",
        "Migrating.",
        "Checking",
    ]
    assert report.backup.rows["players"] == 1
    assert report.backup.rows["player_scans"] == 4
    assert report.quest_states == 1
    assert report.rollup_day is not None
    left = conn.execute("SELECT FROM pg_database WHERE datname = 'waymark_drill'").rowcount
    assert left == 0


def test_changed_byte_fails_the_drill(created: Path, server_url: str, tmp_path: Path) -> None:
    copy = shutil.copytree(created, tmp_path / "copy")
    largest = max((copy / dump.DATA).iterdir(), key=lambda path: path.stat().st_size)
    flip(largest)

    with pytest.raises(BackupDamaged, match=f"{largest.name} .* is not the file that was written"):
        drill(copy, server_url)


def test_damage_is_found_in_every_file(created: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(created, tmp_path / "copy")
    assert manifest.verify(copy) == manifest.read(created)
    for path in [path for path in copy.rglob("*") if path.is_file()]:
        intact = path.read_bytes()
        flip(path)
        with pytest.raises(BackupDamaged):
            manifest.verify(copy)
        path.unlink()
        with pytest.raises(BackupDamaged, match=f"missing|has no {MANIFEST}"):
            manifest.verify(copy)
        path.write_bytes(intact)
    (copy / dump.DATA / "added").touch()
    with pytest.raises(BackupDamaged, match="added"):
        manifest.verify(copy)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_backup_of_another_version_is_named() -> None:
    text = '{"name": "waymark-20260101t000000z-00ff", "added": 1}'
    document = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "manifest": text}
    with pytest.raises(BackupDamaged, match="another version of Waymark"):
        manifest.parse(json.dumps(document).encode(), "waymark-20260101t000000z-00ff")


def test_idle_connection_survives_a_backup_of_hours(server_url: str) -> None:
    limits = "idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout"
    options = " ".join(f"-c {limit}=1s" for limit in limits)
    with dump.connect(make_conninfo(server_url, options=options)) as conn:
        shown = conn.execute("SELECT setting FROM pg_settings WHERE name = ANY(%s)", (list(limits),)).fetchall()
    assert shown == [("0",)] * 3


def test_restore_refuses_a_database_with_tables(created: Path, server_url: str, conn: Conn) -> None:
    player_id = make_player(conn)

    with pytest.raises(BackupError, match="not empty"):
        restore(created, server_url)

    assert conn.execute("SELECT id FROM players").fetchall() == [(player_id,)]


def test_interrupted_restore_is_not_ready_and_is_named(
    created: Path, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scratch_database(server_url) as url, monkeypatch.context() as patch:
        patch.setattr(manifest, "measure", lambda _conn: manifest.Contents({}, ""))
        with pytest.raises(BackupDamaged, match="differs"):
            restore(created, url)

        patch.undo()
        with dump.connect(url) as conn:
            assert conn.execute("SELECT FROM player_scans").rowcount == 4
            assert conn.execute("SELECT FROM alembic_version").rowcount == 0, "processes are ready on this database"
        with pytest.raises(BackupError, match="did not finish"):
            restore(created, url)


def test_only_the_owner_reads_a_backup(created: Path) -> None:
    paths = [created.parent, created, *created.rglob("*")]

    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}


def test_arguments_of_programs_have_no_password(
    server_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every user of the machine can list them."""
    program = tmp_path / "pg_dump"
    program.write_text('#!/bin/sh\necho "$@" >&2\nexit 1\n')
    program.chmod(0o700)

    with pytest.raises(BackupError, match=r"failed with status 1: --jobs=2 --dbname=.*user=") as failed:
        clients.run(program, server_url, ["--jobs=2"])

    assert str(urlsplit(server_url).password) not in str(failed.value)


KNOWN, OTHER = "pg_restore: error: no parameter known", "pg_restore: error: other"
IGNORED = "pg_restore: warning: errors ignored on restore: 2"


@pytest.mark.parametrize(
    ("printed", "fails"),
    [
        ([KNOWN, KNOWN, IGNORED], False),
        ([KNOWN, OTHER, IGNORED], True),
        ([KNOWN, KNOWN], True),  # it was killed
        ([], True),
    ],
)
def test_only_known_errors_of_a_restore_are_tolerated(
    printed: list[str], fails: bool, server_url: str, tmp_path: Path
) -> None:
    program = tmp_path / "pg_restore"
    program.write_text("#!/bin/sh\ncat >&2 <<END\n" + "\n".join(printed) + "\nEND\nexit 1\n")
    program.chmod(0o700)

    with pytest.raises(BackupError) if fails else nullcontext():
        clients.run(program, server_url, [], tolerated="known")


def test_older_programs_are_refused() -> None:
    with pytest.raises(BackupError, match=r"pg_dump of PostgreSQL 99 or newer is required.*postgresql-client-99"):
        clients.find("pg_dump", 99)


@pytest.mark.parametrize("place", ["", "ftp://host/x", "s3://bucket/Upper", "s3://bucket/../x"])
def test_other_places_are_refused(place: str) -> None:
    with pytest.raises(BackupError, match="Use "):
        target_of(place)


@pytest.mark.parametrize("kind", ["directory", "bucket"])
def test_targets_list_complete_backups(kind: str, created: Path, tmp_path: Path, request: Any) -> None:
    target: Target = DirectoryTarget(tmp_path / "target")
    if kind == "bucket":
        target = BucketTarget(request.getfixturevalue("bucket"), "backups/")
    published: list[str] = []
    for number in range(3):
        name = f"waymark-2026010{number}t000000z-00ff"
        with target.draft() as draft:
            (draft / dump.DATA).mkdir()
            (draft / dump.DATA / "1.dat.gz").write_bytes(b"rows")
            backup = manifest.read(created).model_copy(update={"files": manifest.describe_files(draft)})
            manifest.write(draft, backup)
            assert target.names() == published
            target.publish(draft, name)
        published.append(name)
        assert target.names() == published

    assert dump.prune(target, keep=2) == published[:1]
    assert target.names() == published[1:]
    assert target.manifest(published[2]) == backup
    with target.open(published[2]) as directory:
        assert manifest.verify(directory) == backup
    with pytest.raises(BackupError, match="no backup"), target.open(published[0]):
        pass
    with target.draft():
        pass
    assert target.names() == published[1:]
    assert dump.prune(target, keep=1, spared=published[1:2]) == []


def test_backup_of_another_user_does_not_hide_the_others(
    created: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = "waymark-20260101t000000z-00ff", "waymark-20260102t000000z-00ff"
    shutil.copytree(created, tmp_path / own)
    (tmp_path / other).mkdir()
    exists = Path.exists

    def may_read(path: Path) -> bool:
        if path.parent.name == other:
            raise PermissionError(errno.EACCES, "Permission denied")
        return exists(path)

    monkeypatch.setattr(Path, "exists", may_read)  # root may read everything

    assert DirectoryTarget(tmp_path).names() == [own]


@pytest.mark.parametrize("kind", ["directory", "bucket"])
def test_rest_of_a_deleted_backup_is_deleted(
    kind: str, tmp_path: Path, request: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process crashed after it deleted the manifest, or before it wrote it to a bucket."""
    rest = "waymark-20260101t000000z-0e57/data/1.dat.gz"
    target: Target = DirectoryTarget(tmp_path)
    if kind == "bucket":
        storage = request.getfixturevalue("bucket")
        target = BucketTarget(storage, "rest/")
        with storage.write(f"rest/{rest}") as file:
            file.write(b"rows")
    else:
        (tmp_path / rest).parent.mkdir(parents=True)
        (tmp_path / rest).write_bytes(b"rows")

    def exists() -> bool:
        return bool(list(storage.list_files("rest/"))) if kind == "bucket" else bool(list(tmp_path.iterdir()))

    target.delete_incomplete()
    assert exists(), "it may be in progress"
    monkeypatch.setattr(targets, "ABANDONED_SECONDS", 0)
    target.delete_incomplete()
    assert not exists()


def test_failed_upload_leaves_nothing(bucket: Any, created: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = bucket.write

    def fail_at_manifest(name: str) -> Any:
        if name.endswith(MANIFEST):
            raise StorageError("The storage for files is unavailable.")
        return write(name)

    monkeypatch.setattr(bucket, "write", fail_at_manifest)
    with pytest.raises(StorageError):
        BucketTarget(bucket, "failed/").publish(created, created.name)

    assert list(bucket.list_files("failed/")) == []


def test_only_drafts_of_crashed_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with private_directory(tmp_path, "draft-") as in_use:
        crashed, starting = tmp_path / "draft-crashed", tmp_path / "draft-starting"
        for path in (crashed, starting):
            path.mkdir()
        for path in (in_use, crashed):
            os.utime(path, (0, 0))
        with monkeypatch.context() as patch:
            patch.setattr(fcntl, "flock", lambda *_: pytest.fail("its process cannot lock it now"))
            assert not is_abandoned(starting)

        with private_directory(tmp_path, "draft-") as draft:
            assert set(tmp_path.iterdir()) == {in_use, starting, draft}
            assert stat.S_IMODE(draft.stat().st_mode) == 0o700

    assert list(tmp_path.iterdir()) == [starting]


def test_names_in_a_bucket_lead_nowhere_else(bucket: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    name = "waymark-20260101t000000z-0bad"
    key = f"attack/{name}/../../stolen"
    bucket._client.put_object(Bucket="waymark-tests", Key=key, Body=b"attack")

    with pytest.raises(BackupDamaged, match="stolen"), BucketTarget(bucket, "attack/").open(name):
        pass

    assert list(tmp_path.iterdir()) == []


def test_failed_backup_leaves_nothing(conn: Conn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, url: str, arguments: Any) -> None:
        raise BackupError("pg_dump failed.")

    monkeypatch.setattr(clients, "run", fail)
    with pytest.raises(BackupError):
        dump.create(DirectoryTarget(tmp_path))

    assert list(tmp_path.iterdir()) == []
    assert conn.execute("SELECT FROM operations_log").rowcount == 0


def test_missing_bucket_is_found_before_the_dump(bucket: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "run", lambda *_arguments: pytest.fail("dumped"))
    missing = type(bucket).from_settings(settings(), "missing-bucket")
    missing._client = bucket._client
    with pytest.raises(StorageError):
        dump.create(BucketTarget(missing, ""))


def test_drill_needs_no_host_in_the_url(server_url: str) -> None:
    parts = urlsplit(server_url)
    query = f"host={parts.hostname}&port={parts.port}&user={parts.username}&password={parts.password or ''}"
    with (
        scratch_database(f"postgresql:///{parts.path.removeprefix('/')}?{query}") as url,
        dump.connect(url) as conn,
    ):
        assert conn.info.dbname == SCRATCH


def test_database_without_a_schema_is_named(server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scratch_database(server_url) as url:
        changed = settings().model_copy(update={"database_direct_url": SecretStr(url)})
        monkeypatch.setattr(dump, "settings", lambda: changed)
        with pytest.raises(BackupError, match="no tables of Waymark"):
            dump.create(DirectoryTarget(tmp_path))
        with dump.connect(url) as conn:
            conn.execute("CREATE TABLE alembic_version (version_num text)")
        with pytest.raises(BackupError, match="did not finish"):
            dump.create(DirectoryTarget(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_one_backup_runs_at_a_time(conn: Conn, tmp_path: Path) -> None:
    conn.execute("SELECT pg_advisory_lock(%s)", (dump.LOCK,))
    try:
        with pytest.raises(BackupError, match="Another backup"):
            dump.create(DirectoryTarget(tmp_path))
    finally:
        conn.execute("SELECT pg_advisory_unlock(%s)", (dump.LOCK,))


BREAKS = {
    "a scan with two verdicts": """
        INSERT INTO events (type, data) SELECT type, data FROM events WHERE type = 'scan_result' ORDER BY id LIMIT 1
    """,
    "a verdict without an event": """
        WITH older AS (INSERT INTO events (type, at) VALUES ('old', now() - interval '2 hours'))
        DELETE FROM events WHERE id = (SELECT min(id) FROM events WHERE type = 'scan_result')
    """,
    "a reward of a scan that was paid never or wrongly": """
        UPDATE inventory_ledger SET quantity = 2 WHERE id = (
            SELECT l.id FROM inventory_ledger l JOIN player_scans s ON s.id = l.source_id
            WHERE s.status = 'success' LIMIT 1)
    """,
    "a payment without a successful scan": "DELETE FROM inventory_ledger WHERE source = 'annulment' AND item = 'gem'",
    "a claimed reward of a quest that was paid never or wrongly": "UPDATE quest_claims SET item = 'gold'",
    "a payment without a claim of a quest": "UPDATE inventory_ledger SET source_id = id WHERE source = 'quest'",
    "a redemption that differs from the ledger": "UPDATE redemptions SET quantity = 2",
    "a balance below zero": """
        INSERT INTO inventory_ledger (player_id, item, quantity, source, source_id)
        SELECT player_id, 'gold', -1, 'annulment', id FROM inventory_ledger LIMIT 1
    """,
}


def test_broken_promises_are_found(conn: Conn) -> None:
    furnish(conn)
    assert invariants.violations(conn) == {}
    assert BREAKS.keys() == invariants.BROKEN_BY.keys()
    for promise, statement in BREAKS.items():
        with conn.transaction(force_rollback=True):
            conn.execute("SET LOCAL session_replication_role = replica")  # triggers would prevent it
            conn.execute(statement)
            assert invariants.violations(conn)[promise] == 1


def test_differing_rollups_are_found(conn: Conn) -> None:
    furnish(conn)
    assert invariants.sample_day(conn) is None
    today = conn.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone()
    assert today is not None
    assert invariants.differing_rollups(conn, today[0]) > 0


def test_newest_proven_backup_is_recorded(created: Path, conn: Conn) -> None:
    backup = manifest.read(created)
    operations_log.record(conn, "backup", backup)
    operations_log.record(conn, "drill", backup, passed=False, detail="damaged")
    assert operations_log.last_proven_backup(conn) is None
    assert operations_log.has_drill(conn, backup.name)

    operations_log.record(conn, "drill", backup)

    assert operations_log.last_proven_backup(conn) == backup.created_at
    assert operations_log.newest_proven(conn, ["waymark-20260101t000000z-00ff", backup.name]) == backup.name
    assert operations_log.newest_proven(conn, []) is None
