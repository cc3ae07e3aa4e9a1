"""The operators' command line."""

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
from shared.errors import CredentialsRevoked
from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import api_keys
from shared.organizations.api_keys import NewApiKey
from tests.conftest import PASSWORD, Player
from tests.support.callers import Staff, sign_in
from tests.support.concurrency import wait_until_blocked
from workers.cli import admin

CHECKOUT = Path(__file__).parents[2]
NEW_PASSWORD = "battery staple"


def run_process(*arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.cli.admin", *arguments],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        env=os.environ,
        timeout=60,
    )


def run_main(*arguments: str, password: str = PASSWORD) -> None:
    """Run the command in this process. The password is typed at the terminal, or piped into standard input."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(db, "close_pool", lambda: None)
        patches.setattr(getpass, "getpass", lambda _prompt: password)
        patches.setattr(sys, "stdin", io.StringIO(f"{password}\n"))
        admin.main(list(arguments))


@pytest.fixture
def access_changes(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The players and keys whose access change was published to the web processes."""
    ids: list[UUID] = []
    monkeypatch.setattr(admin, "publish_access_change", lambda *changed: ids.extend(changed))
    return ids


def operator_entries(conn: Conn) -> list[Any]:
    return conn.execute(
        "SELECT actor_kind, action, object_id FROM audit_log WHERE actor_kind = 'operator' ORDER BY id"
    ).fetchall()


def log_in(client: Any, player: Player, password: str) -> int:
    body = {"username": player.username, "password": password}
    return int(client.post("/auth/login", json=body).status_code)


def test_without_a_terminal_the_error_names_password_stdin(clean: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_terminal(_prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", no_terminal)
    with pytest.raises(admin.CommandError, match="--password-stdin"):
        admin.run(admin.parse(["reset-password", "ada"]))


def test_different_repeated_password_changes_nothing(
    conn: Conn, player: Player, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter([NEW_PASSWORD, NEW_PASSWORD + "!"])
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(typed))
    with pytest.raises(admin.CommandError, match="differ"):
        admin.run(admin.parse(["reset-password", player.username]))
    assert log_in(client, player, PASSWORD) == 200


def test_create_owner_creates_an_account_and_its_organization(client: Any, conn: Conn) -> None:
    process = run_process("create-owner", "Ada", "--organization", "City quest", "--password-stdin", password=PASSWORD)

    assert (process.returncode, process.stderr) == (0, "")
    assert PASSWORD not in process.stdout
    session = client.post("/auth/login", json={"username": "ada", "password": PASSWORD}).json
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    (organization,) = client.get("/api/organizations", headers=headers).json["items"]
    assert (organization["name"], organization["role"]) == ("City quest", "owner")
    assert str(organization["id"]) in process.stdout
    assert operator_entries(conn) == [
        ("operator", "account.created", session["player_id"]),
        ("operator", "organization.created", organization["id"]),
    ]


def test_reset_password_revokes_all_sessions(
    client: Any, conn: Conn, player: Player, capsys: pytest.CaptureFixture[str]
) -> None:
    run_main("reset-password", player.username.upper(), "--password-stdin", password=NEW_PASSWORD)

    assert "revoked 1 session\n" in capsys.readouterr().out
    assert client.get("/users/me", headers=player.headers).status_code == 401
    assert log_in(client, player, PASSWORD) == 401
    assert log_in(client, player, NEW_PASSWORD) == 200
    assert operator_entries(conn) == [("operator", "password.reset", str(player.id))]


def test_reset_password_overrides_a_concurrent_change(client: Any, conn: Conn, player: Player) -> None:
    """An attacker who took the account over may be changing its password at the same moment."""
    attackers_hash = passwords.hash_password("taken over")
    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as attack:
            attack.execute(
                "UPDATE credentials SET password_hash = %s WHERE player_id = %s", (attackers_hash, player.id)
            )
            reset = threads.submit(admin.reset_password, player.username, NEW_PASSWORD)
            wait_until_blocked(conn)
        assert "Reset the password" in reset.result(20)
    assert log_in(client, player, "taken over") == 401
    assert log_in(client, player, NEW_PASSWORD) == 200


@pytest.mark.parametrize(
    ("arguments", "password", "message"),
    [
        (("create-owner", "a b", "--organization", "X", "--password-stdin"), PASSWORD, "letters, digits"),
        (("create-owner", "ada", "--organization", "X", "--password-stdin"), "short", "8 to 256"),
        (("create-owner", "ada", "--organization", "X", "--password", "secret"), "", "unrecognized"),
        (("reset-password", "unknown", "--password-stdin"), PASSWORD, "No player unknown"),
    ],
)
def test_invalid_arguments_are_named_and_change_nothing(
    conn: Conn, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], password: str, message: str
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run_main(*arguments, password=password)

    assert exit_.value.code != 0
    assert message in f"{exit_.value}{capsys.readouterr().err}"
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (0,)
    assert operator_entries(conn) == []


def test_create_owner_with_a_taken_name_creates_no_organization(conn: Conn, player: Player) -> None:
    with pytest.raises(SystemExit, match="taken"):
        run_main("create-owner", player.username, "--organization", "Museum")
    assert conn.execute("SELECT count(*) FROM organizations").fetchone() == (0,)


def test_sessions_are_listed_and_revoked(
    app: Flask, client: Any, conn: Conn, player: Player, access_changes: list[UUID]
) -> None:
    other = sign_in(app, conn)
    for _ in range(2):
        assert log_in(client, player, PASSWORD) == 200
    ids = [UUID(row.split()[0]) for row in admin.sessions(player.username).splitlines()]
    assert len(ids) == 3

    assert admin.revoke_session(ids[0]) == f"Revoked session {ids[0]}"
    assert client.get("/users/me", headers=player.headers).status_code == 401
    for session_id in (ids[0], uuid4()):
        with pytest.raises(admin.CommandError, match=f"No active session {session_id}"):
            admin.revoke_session(session_id)
    assert admin.revoke_sessions(player.username) == f"Revoked 2 sessions of {player.username}"

    assert admin.sessions(player.username) == f"No active sessions of {player.username}"
    assert client.get("/users/me", headers=other.headers).status_code == 200
    assert access_changes == [player.id, player.id]
    assert [entry[1:] for entry in operator_entries(conn)] == [
        ("session.revoked", str(ids[0])),
        ("session.revoked", str(player.id)),
    ]
    values = conn.execute("SELECT new FROM audit_log WHERE actor_kind = 'operator' ORDER BY id").fetchall()
    assert values == [(None,), ({"sessions": 2},)]


def test_api_keys_are_listed_by_prefix_and_revoked(conn: Conn, staff: Staff, access_changes: list[UUID]) -> None:
    new_key = NewApiKey.new()
    key = api_keys.add(conn, staff.org_id, new_key, name="kiosk", scopes=["scan"])
    (slug,) = conn.execute("SELECT slug FROM organizations").fetchone() or ("",)

    output = admin.list_keys(slug)
    assert output.split("  ")[:4] == [str(key.id), new_key.prefix, "kiosk", "scan"]
    assert new_key.text not in output
    assert admin.revoke_key(key.id) == f"Revoked API key {new_key.prefix} (kiosk)"

    with pytest.raises(CredentialsRevoked):
        api_keys.authenticate(conn, new_key.text)
    assert access_changes == [key.id]
    assert admin.list_keys(slug) == f"No API keys of {slug}"
    assert operator_entries(conn) == [("operator", "key.revoked", str(key.id))]
    with pytest.raises(admin.CommandError, match=f"No active API key {key.id}"):
        admin.revoke_key(key.id)
    with pytest.raises(admin.CommandError, match="No organization nothing"):
        admin.list_keys("nothing")


def test_reset_password_of_a_guest_fails(app: Flask, conn: Conn) -> None:
    sign_in(app, conn, "guest")
    with pytest.raises(admin.CommandError, match="guest"):
        admin.reset_password("guest", PASSWORD)
