"""Against Debian's PostgreSQL 15 with PostGIS 3, where it is installed: the older server, and the location column."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from script.stack.ports import free_port
from script.stack.postgres import find_binaries
from shared.backup import clients, dump
from shared.backup.drill import drill
from shared.backup.targets import DirectoryTarget
from shared.settings import settings
from tests.support.factories import AMSTERDAM, SIX_KILOMETERS_OFF, SIXTY_METERS_OFF, make_code, make_org

BINARIES = Path("/usr/lib/postgresql/15/bin")
POSTGIS = Path("/usr/share/postgresql/15/extension/postgis.control")

pytestmark = pytest.mark.skipif(
    not (BINARIES.exists() and POSTGIS.exists()),
    reason="PostGIS is not tested: Debian's postgresql-15-postgis-3 is not installed here",
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A database with the schema, on a server of its own that an unprivileged user runs."""
    folder, port = Path(tempfile.mkdtemp(prefix="postgis-")), free_port()
    become: dict[str, Any] = {"env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}, "cwd": folder}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        become |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def run(program: str, *arguments: str) -> None:
        command = [str(BINARIES / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **become)

    run("initdb", "-U", "waymark", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-p {port} -k '' -c listen_addresses=127.0.0.1 -c fsync=off"
    run("pg_ctl", "start", "-w", "-l", str(folder / "log"), "-o", options)
    try:
        url = f"postgresql://waymark@127.0.0.1:{port}/postgres"
        migrate(url)
        yield url
    finally:
        run("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(folder)


def migrate(url: str, *arguments: str) -> None:
    environment = os.environ | {"DATABASE_URL": url}
    subprocess.run([sys.executable, "-m", "migrations", *arguments], env=environment, check=True, capture_output=True)


def test_location_column_equals_latitude_and_longitude(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        org = make_org(conn)
        near, far = make_code(conn, org, SIXTY_METERS_OFF), make_code(conn, org, SIX_KILOMETERS_OFF)
        nowhere = make_code(conn, org)
        found = conn.execute(
            """
            SELECT id FROM qr_codes
            WHERE ST_DWithin(location, ST_SetSRID(ST_MakePoint(%s, %s), 4326)::geography, 100)
            """,
            (AMSTERDAM.longitude, AMSTERDAM.latitude),
        ).fetchall()
        assert found == [(near,)]
        assert conn.execute("SELECT id FROM qr_codes WHERE location IS NULL").fetchall() == [(nowhere,)]
        conn.execute("UPDATE qr_codes SET latitude = %s WHERE id = %s", (SIXTY_METERS_OFF.latitude, far))
        in_step = "ST_Y(location::geometry) = latitude AND ST_X(location::geometry) = longitude"
        assert conn.execute(f"SELECT count(*) FROM qr_codes WHERE {in_step}").fetchone() == (2,)
        indexes = conn.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'qr_codes_location'").fetchone()
        assert indexes is not None
        assert "USING gist (location)" in indexes[0]


def test_it_goes_down_and_up_again_on_the_older_server(url: str) -> None:
    migrate(url, "downgrade", "base")
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT to_regclass('qr_codes')").fetchone() == (None,)
    migrate(url)
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT waymark_uuid7() < waymark_uuid7() OR true").fetchone() == (True,)


@pytest.mark.long
@pytest.mark.parametrize("programs", [BINARIES, find_binaries(None)], ids=["own programs", "newer programs"])
def test_backup_of_the_older_server_passes_its_drill(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Path
) -> None:
    monkeypatch.setattr(clients, "candidates", lambda program: [programs / program])
    changed = settings().model_copy(update={"database_url": SecretStr(url)})
    monkeypatch.setattr(dump, "settings", lambda: changed)

    created = dump.create(DirectoryTarget(tmp_path))

    assert drill(tmp_path / created.name, url).backup == created
