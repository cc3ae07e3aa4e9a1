"""The operators' command line, as a process of its own."""

import getpass
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.accounts import passwords
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import api_keys
from shared.organizations.api_keys import NewApiKey
from tests.conftest import PASSWORD, Player
from tests.support.callers import Staff, sign_in
from tests.support.concurrency import wait_until_blocked
from workers.cli import admin

CHECKOUT = Path(__file__).parents[2]


def operate(*arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.cli.admin", *arguments],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=os.environ,
        timeout=60,
    )


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """Whom the web processes were told of."""
    ids: list[UUID] = []
    monkeypatch.setattr(admin, "publish_access_change", lambda *ended: ids.extend(ended))
    return ids


def trail(conn: Conn) -> list[Any]:
    return conn.execute(
        "SELECT actor_kind, action, object_id FROM audit_log WHERE actor_kind = 'operator' ORDER BY id"
    ).fetchall()


def test_without_a_terminal_it_says_what_to_use(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", nobody)
    with pytest.raises(admin.CommandError, match="--password-stdin"):
        admin.run(admin.read(["reset-password", "ada"]))


def test_an_owner_is_made_with_their_organization(client: Any, conn: Conn) -> None:
    done = operate("create-owner", "Ada", "--organization", "City quest", "--password-stdin", password=PASSWORD)

    assert (done.returncode, done.stderr) == (0, "")
    assert PASSWORD not in done.stdout
    session = client.post("/auth/login", json={"username": "ada", "password": PASSWORD}).json
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    (org,) = client.get("/api/organizations", headers=headers).json["items"]
    assert (org["name"], org["role"]) == ("City quest", "owner")
    assert str(org["id"]) in done.stdout
    assert trail(conn) == [
        ("operator", "account.created", session["player_id"]),
        ("operator", "organization.created", org["id"]),
    ]


def test_a_password_is_reset_and_every_login_ends(client: Any, conn: Conn, player: Player) -> None:
    done = operate("reset-password", player.username.upper(), "--password-stdin", password="battery staple")

    assert (done.returncode, done.stderr) == (0, "")
    assert "1 login ended" in done.stdout
    assert client.get("/users/me", headers=player.headers).status_code == 401
    for password, status in ((PASSWORD, 401), ("battery staple", 200)):
        body = {"username": player.username, "password": password}
        assert client.post("/auth/login", json=body).status_code == status
    assert trail(conn) == [("operator", "password.reset", str(player.id))]


def test_a_reset_overrules_a_change_that_is_being_made(client: Any, conn: Conn, player: Player) -> None:
    """Whoever has taken an account over may be changing its password at this very moment."""
    theirs = passwords.hash_password("taken over")
    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as taker:
            taker.execute("UPDATE credentials SET password_hash = %s WHERE player_id = %s", (theirs, player.id))
            reset = threads.submit(admin.reset_password, player.username, "battery staple")
            wait_until_blocked(conn)
        assert "another password" in reset.result(20)
    for password, status in (("taken over", 401), ("battery staple", 200)):
        body = {"username": player.username, "password": password}
        assert client.post("/auth/login", json=body).status_code == status


@pytest.mark.parametrize(
    ("arguments", "password", "why"),
    [
        (("create-owner", "a b", "--organization", "X", "--password-stdin"), PASSWORD, "letters, digits"),
        (("create-owner", "ada", "--organization", "X", "--password-stdin"), "short", "8 to 256"),
        (("create-owner", "ada", "--organization", "X", "--password", "secret"), "", "unrecognized"),
        (("reset-password", "nobody", "--password-stdin"), PASSWORD, "Nobody is called nobody"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_done(
    conn: Conn, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], password: str, why: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_main(*arguments, password=password)

    assert ended.value.code != 0
    assert why in f"{ended.value}{capsys.readouterr().err}"
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (0,)
    assert trail(conn) == []


def test_a_name_that_is_taken_leaves_no_organization(conn: Conn, player: Player) -> None:
    with pytest.raises(SystemExit, match="taken"):
        run_main("create-owner", player.username, "--organization", "Museum")
    assert conn.execute("SELECT count(*) FROM organizations").fetchone() == (0,)


def run_main(*arguments: str, password: str = PASSWORD) -> None:
    """In this process, which somebody types at, or pipes into."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(admin, "configure", lambda _process: None)
        changed.setattr(db, "close_pool", lambda: None)
        changed.setattr(getpass, "getpass", lambda _prompt: password)
        changed.setattr(sys, "stdin", io.StringIO(f"{password}\n"))
        admin.main(list(arguments))


def test_logins_are_listed_and_ended_one_by_one_and_all(
    app: Flask, client: Any, conn: Conn, player: Player, told: list[UUID]
) -> None:
    other = sign_in(app, conn)
    for _ in range(2):
        client.post("/auth/login", json={"username": player.username, "password": PASSWORD})
    ids = [UUID(line.split()[0]) for line in admin.sessions(player.username).splitlines()]
    assert len(ids) == 3

    assert str(ids[0]) in admin.revoke_session(ids[0])
    assert client.get("/users/me", headers=player.headers).status_code == 401
    for family_id in (ids[0], uuid4()):
        with pytest.raises(admin.CommandError):
            admin.revoke_session(family_id)
    assert "2 logins" in admin.revoke_sessions(player.username)

    assert admin.sessions(player.username) == "None"
    assert client.get("/users/me", headers=other.headers).status_code == 200
    assert told == [player.id, player.id]
    assert [line[1:] for line in trail(conn)] == [("session.revoked", str(ids[0])), ("session.revoked", str(player.id))]


def test_keys_are_listed_by_how_they_begin_and_revoked(conn: Conn, staff: Staff, told: list[UUID]) -> None:
    minted = NewApiKey.new()
    made = api_keys.add(conn, staff.org_id, minted, name="kiosk", scopes=["scan"])
    (slug,) = conn.execute("SELECT slug FROM organizations").fetchone() or ("",)

    listed = admin.list_keys(slug)
    assert listed.split("  ")[:4] == [str(made.id), minted.prefix, "kiosk", "scan"]
    assert minted.text not in listed
    admin.revoke_key(made.id)

    assert api_keys.authenticate(conn, minted.text) is None
    assert told == [made.id]
    assert admin.list_keys(slug) == "None"
    assert trail(conn) == [("operator", "key.revoked", str(made.id))]
    with pytest.raises(admin.CommandError):
        admin.revoke_key(made.id)
    with pytest.raises(admin.CommandError):
        admin.list_keys("nothing")


def test_a_guest_has_no_password_to_reset(app: Flask, conn: Conn) -> None:
    sign_in(app, conn, "guest")
    with pytest.raises(admin.CommandError, match="guest"):
        admin.reset_password("guest", PASSWORD)
