"""The commands of docs/migrating.md, run on databases with the tables of the older services."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from PIL import Image
from psycopg import sql
from zxingcpp import read_barcodes

from script.stack.postgres import find_binaries
from script.stack.running_server import CHECKOUT
from shared.infra.db import Conn
from shared.settings import settings
from tests.accounts.external_issuer import SECRET
from tests.compatibility import older_schemas
from tests.compatibility.test_quest_tokens import SETTINGS, token
from tests.conftest import PASSWORD
from tests.support.callers import bearer
from tests.support.command_line import waymark
from tests.support.factories import number_events
from web.app import create_app
from workers import analytics

PAGE = CHECKOUT / "docs" / "migrating.md"
Migrate = Callable[..., str]


def commands(*headings: str) -> str:
    """Return the shell commands below these headings."""
    sections = re.split(r"^## (.+)\n", PAGE.read_text(), flags=re.MULTILINE)
    texts = dict(zip(sections[1::2], sections[2::2], strict=True))
    blocks = [re.findall(r"^```sh\n(.*?)^```", texts[heading], re.MULTILINE | re.DOTALL) for heading in headings]
    assert all(blocks)
    return "\n".join(block for each in blocks for block in each)


@pytest.fixture
def migrate(clean: None, conn: Conn) -> Iterator[Migrate]:
    """Return a function that runs the commands of a section, with these tables in the older database."""
    name = f"older_{uuid4().hex}"
    conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    waymark = os.environ["DATABASE_URL"]
    older = re.sub(r"/[^/?]*(\?|$)", rf"/{name}\1", waymark)

    def run(tables: str, *headings: str) -> str:
        with psycopg.connect(older, autocommit=True) as database:
            database.execute(tables)
        path = os.pathsep.join((str(Path(sys.executable).parent), str(find_binaries(None)), os.environ["PATH"]))
        done = subprocess.run(
            ["sh", "-eu"],  # noqa: S607
            input=commands("Before you start", *headings),
            env=os.environ | {"PATH": path, "older": older},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "ERROR" not in done.stderr
        return done.stdout

    yield run
    conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_every_service_has_a_section_with_commands() -> None:
    listed = re.findall(r"^\| \[(.+?)\]", PAGE.read_text(), re.MULTILINE)
    assert len(listed) == 5
    assert all(commands(name[0].upper() + name[1:]) for name in listed)


def test_scan_game_keeps_players_codes_and_history(migrate: Migrate, client: Any, conn: Conn) -> None:
    conn.execute("INSERT INTO organizations (name, slug) VALUES ('Scan game', 'scan-game')")

    migrate(older_schemas.SCAN_GAME, "Scan game")

    assert client.post("/auth/login", data={"username": "explorer_1x", "password": "any"}).status_code == 401
    assert conn.execute("SELECT username FROM players JOIN credentials ON player_id = id").fetchall() == [
        ("explorer_1x",)
    ]
    codes = conn.execute(
        "SELECT code, requires_location, latitude, longitude, reward_item, per_player_limit FROM qr_codes ORDER BY code"
    )
    assert codes.fetchall() == [
        ("spy123", True, 52.3731, 4.8926, "spy_gadget", None),
        ("vault", False, None, None, None, None),
    ]
    assert conn.execute("SELECT puzzle_type, difficulty_level, data FROM encounters").fetchall() == [
        ("hacking", 10, {})
    ]
    scans = conn.execute("SELECT status, reason, latitude FROM player_scans ORDER BY scan_time").fetchall()
    assert scans == [("success", None, 52.3731), ("failure", "not_present", None)]
    number_events()
    while analytics.roll_up_batch():
        pass
    row = conn.execute("SELECT sum(count), sum(success) FROM scan_rollup_daily JOIN qr_codes ON subject_id = id")
    assert row.fetchall() == [(2, 1)]


def test_generated_codes_keep_their_ids(migrate: Migrate, client: Any) -> None:
    migrate(older_schemas.GENERATOR, "QR code generator")

    urls = [f"/qr/retrieve/550e8400-e29b-41d4-a716-44665544000{n}" for n in range(3)]
    images = [client.get(url) for url in urls]
    assert [image.status_code for image in images] == [200, 200, 404]
    with Image.open(BytesIO(images[0].data)) as image:
        assert read_barcodes(image)[0].text == "https://example.com"
    assert client.get("/retrieve/550e8400-e29b-41d4-a716-446655440000").json["expires_at"] is None


def test_organization_codes_keep_their_members_and_prints(migrate: Migrate, client: Any, conn: Conn) -> None:
    migrate(older_schemas.ORGANIZATION_CODES, "Organization codes")

    roles = conn.execute(
        """
        SELECT slug, username, role
        FROM memberships JOIN organizations o ON o.id = org_id JOIN players p ON p.id = player_id ORDER BY 1, 2
        """
    ).fetchall()
    ada, grace = "member-00000000000040008000", "member-10000000000040008000"
    assert roles == [
        ("museum", ada, "owner"),
        ("museum", grace, "admin"),
        ("shop", ada, "owner"),
        ("shop", grace, "member"),
    ]
    opened = {code: client.get(f"/s/{code}") for code in ("Xy_9-aBcD12", "Xy_9-aBcD13", "Xy_9-aBcD14")}
    assert {code: response.location for code, response in opened.items()} == {
        "Xy_9-aBcD12": "https://museum.example",
        "Xy_9-aBcD13": "https://older.example/org/shop",
        "Xy_9-aBcD14": None,
    }
    assert client.get("/b/museum").location == "https://museum.example"
    assert conn.execute("SELECT style FROM qr_customizations").fetchall() == [("dots",)]
    assert conn.execute("SELECT device FROM visits ORDER BY id").fetchall() == [("phone",), ("desktop",), ("bot",)]


def test_quest_players_keep_tokens_progress_and_rewards(
    migrate: Migrate, conn: Conn, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = migrate(older_schemas.QUEST_SERVICES, "Quest auth service", "Quest services")
    assert "No difference" in printed

    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    older: Any = create_app().test_client()
    try:
        ada, grace = ({"headers": bearer(token(SECRET, user_id=number))} for number in (3, 4))
        me = older.get("/users/me", **ada).json
        items = older.get(f"/player/{me['id']}/inventory", **ada).json["items"]
        states = conn.execute(
            """
            SELECT quest, progress, completions, claims FROM quest_states JOIN players p ON p.id = player_id
            ORDER BY username
            """
        ).fetchall()
        assert me["username"] == "quest-3"
        assert {item["item"]: item["quantity"] for item in items} == {"gold": 5, "diamond": 10}
        assert states == [("sign-in-three-times", 2, 1, 1), ("sign-in-three-times", 0, 2, 1)]
        assert older.get("/users/me", **grace).json["username"] == "quest-4"
        assert conn.execute("SELECT FROM players WHERE username = 'quest-5'").rowcount == 0
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_operator_gives_a_migrated_account_a_password(migrate: Migrate, client: Any, conn: Conn) -> None:
    conn.execute("INSERT INTO organizations (name, slug) VALUES ('Scan game', 'scan-game')")
    migrate(older_schemas.SCAN_GAME, "Scan game")

    waymark("users", "reset-password", "explorer_1x", "--password-stdin", stdin=PASSWORD)

    response = client.post("/auth/login", data={"username": "explorer_1x", "password": PASSWORD})
    assert response.json["player_id"] == "00000000-0000-4000-8000-000000000001"
