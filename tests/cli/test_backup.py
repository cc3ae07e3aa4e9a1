"""Backups, restores and drills from the command line."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from script.stack.running_server import CHECKOUT
from shared.backup import dump
from shared.backup.manifest import MANIFEST
from shared.infra.db import Conn
from tests.support.command_line import error_of, waymark, waymark_json
from tests.support.factories import make_player
from tests.support.polling import eventually


def recorded(conn: Conn) -> list[Any]:
    return conn.execute("SELECT operation, passed FROM operations_log ORDER BY id").fetchall()


def test_backups_are_created_listed_and_proven(conn: Conn, tmp_path: Path) -> None:
    make_player(conn)
    created = waymark_json("backup", tmp_path)["backup"]
    assert "Created waymark-" in waymark("backup", tmp_path)
    listed = waymark_json("backups", tmp_path)
    assert [len(listed), created in {row["name"] for row in listed}, listed[0]["rows"] > 0] == [2, True, True]
    oldest = listed[0]["name"]  # of two of one second, the first by name

    proven = waymark_json("drill", tmp_path, "--keep", 1)

    assert proven["deleted"] == [oldest]
    assert [row["name"] for row in waymark_json("backups", tmp_path)] == [proven["backup"]]
    assert recorded(conn) == [("backup", True), ("backup", True), ("drill", True)]
    assert "not empty" in error_of("restore", tmp_path / proven["backup"])
    # The newest backup is not proven yet, so the proven one stays.
    unproven = waymark_json("backup", tmp_path, "--keep", 1)
    assert unproven["deleted"] == []
    shutil.rmtree(tmp_path / unproven["backup"])
    # A changed file is found, and the failure is recorded.
    file = max((tmp_path / proven["backup"] / dump.DATA).iterdir())
    file.write_bytes(b"changed")
    assert "is not the file that was written" in error_of("drill", tmp_path)
    assert recorded(conn)[-1] == ("drill", False)
    (tmp_path / "waymark-20260101t000000z-00ff").mkdir()
    (tmp_path / "waymark-20260101t000000z-00ff" / MANIFEST).write_text("{}")
    damaged, good = waymark_json("backups", tmp_path)
    assert [damaged["fault"], damaged["rows"]] == [f"{MANIFEST} of waymark-20260101t000000z-00ff is damaged.", None]
    assert [good["name"], good["fault"]] == [proven["backup"], None]
    assert "is damaged" in waymark("backups", tmp_path)
    # One whose manifest cannot even be read.
    (tmp_path / "waymark-20260101t000000z-00ff" / MANIFEST).unlink()
    (tmp_path / "waymark-20260101t000000z-00ff" / MANIFEST).mkdir()
    unreadable, good = waymark_json("backups", tmp_path)
    assert "Is a directory" in unreadable["fault"]
    assert good["fault"] is None


def test_missing_backups_are_named(conn: Conn, tmp_path: Path) -> None:
    assert waymark("backups", tmp_path) == "No backups\n"
    assert error_of("drill", tmp_path) == f"{tmp_path} has no complete backup."
    assert "has no backup" in error_of("restore", tmp_path / "waymark-20260101t000000z-0000")
    assert "BACKUP_TARGET" in error_of("backup")
    assert waymark("backup", "--if-configured") == "No backup, because BACKUP_TARGET is not set.\n"


def test_terminated_backup_leaves_no_draft(conn: Conn, tmp_path: Path) -> None:
    programs, target = tmp_path / "bin", tmp_path / "target"
    programs.mkdir()
    program = programs / "pg_dump"
    program.write_text(
        f"""#!/bin/sh
        [ "$1" = --version ] && echo "pg_dump (PostgreSQL) 99.0" && exit
        trap 'kill $!; touch {programs}/ended; exit 1' TERM
        sleep 600 &
        touch {programs}/started
        wait
        """
    )
    program.chmod(0o700)
    process = subprocess.Popen(
        (sys.executable, "-m", "workers.cli", "backup", str(target)),
        cwd=CHECKOUT,
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
    )
    try:
        eventually((programs / "started").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    finally:
        process.kill()
        process.communicate()
    assert list(target.iterdir()) == []
    assert (programs / "ended").exists(), "killed: its parallel processes would run on"
