"""This code runs on the schema of the next release, with the data that it stored before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from flask import Flask

from migrations import HERE, config
from shared.infra import health
from shared.infra.db import Conn
from tests.accounts.personal_data import Life, live
from tests.quests.scan_quests import visit
from tests.upgrade import releases


@pytest.fixture
def next_release(conn: Conn, tmp_path: Path) -> Iterator[Config]:
    """The migrations of the next release. Their effect ends with the test."""
    releases.add_revisions(tmp_path, releases.EXPAND, health.required_migration())
    configuration = config()
    configuration.set_main_option("path_separator", "os")
    configuration.set_main_option("version_locations", f"{HERE / 'versions'}:{tmp_path}")
    yield configuration
    command.downgrade(configuration, health.required_migration())


def read(app: Flask, life: Life) -> dict[str, Any]:
    """Return what the player and the staff see."""
    client, staff = app.test_client(), life.staff
    paths = {
        **{f"/player/{life.ada.id}/{part}": life.ada for part in ("history", "inventory")},
        "/users/me": life.ada,
        **{f"{staff.path}{part}": staff.owner for part in ("", "/qr-codes", "/scans", "/items", "/quests", "/audit")},
    }
    responses = {path: client.get(path, headers=player.headers) for path, player in paths.items()}
    assert {path: response.status_code for path, response in responses.items()} == dict.fromkeys(paths, 200)
    return {path: response.get_json() for path, response in responses.items()}


def test_code_reads_its_data_and_settles_scans_on_the_next_schema(app: Flask, conn: Conn, next_release: Config) -> None:
    life = live(app, conn)
    before = read(app, life)

    command.upgrade(next_release, "head")

    assert conn.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'late'::regclass").fetchone() == (True,)
    assert health.unready_dependencies(["migrations"]) == []
    assert read(app, life) == before
    visit(conn, life.ada.id, life.code)
    assert conn.execute("SELECT count(*) FROM player_scans WHERE status = 'pending'").fetchone() == (0,)
    history = f"/player/{life.ada.id}/history"
    assert len(read(app, life)[history]["scans"]) == len(before[history]["scans"]) + 1
