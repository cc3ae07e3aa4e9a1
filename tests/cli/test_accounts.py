"""`waymark users`, `sessions` and `keys`."""

import getpass
import json
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
from shared.organizations import api_keys, store
from shared.organizations.api_keys import NewApiKey
from tests.cli.conftest import operator_entries
from tests.conftest import PASSWORD, Player
from tests.support.callers import Staff, sign_in
from tests.support.command_line import error_of, run, waymark, waymark_json
from tests.support.concurrency import wait_until_blocked
from workers.cli import keys, sessions

NEW_PASSWORD = "battery staple"
RESET = ("users", "reset-password", "--password-stdin")


@pytest.fixture
def access_changes(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The players and keys whose access change was published to the web processes."""
    ids: list[UUID] = []
    for module in (sessions, keys):
        monkeypatch.setattr(module, "publish_access_change", lambda *changed: ids.extend(changed))
    return ids


def log_in(client: Any, player: Player, password: str) -> int:
    body = {"username": player.username, "password": password}
    return int(client.post("/auth/login", json=body).status_code)


def test_password_is_typed_twice_at_a_terminal(
    conn: Conn, player: Player, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def type_in(*lines: str) -> None:
        typed = iter(lines)
        monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(typed))

    def no_terminal(_prompt: str) -> str:
        raise EOFError

    type_in(NEW_PASSWORD, NEW_PASSWORD + "!")
    assert "differ" in error_of("users", "reset-password", player.username)
    assert log_in(client, player, PASSWORD) == 200
    type_in(NEW_PASSWORD, NEW_PASSWORD)
    waymark("users", "reset-password", player.username)
    assert log_in(client, player, NEW_PASSWORD) == 200
    monkeypatch.setattr(getpass, "getpass", no_terminal)
    assert "--password-stdin" in error_of("users", "reset-password", player.username)


def test_create_stores_an_account_and_its_organization(client: Any, conn: Conn) -> None:
    create = ("users", "create", "Ada", "--organization", "City quest", "--password-stdin")
    created = waymark_json(*create, stdin=PASSWORD)

    assert PASSWORD not in str(created)
    session = client.post("/auth/login", json={"username": "ada", "password": PASSWORD}).json
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    (organization,) = client.get("/api/organizations", headers=headers).json["items"]
    assert (organization["name"], organization["role"]) == ("City quest", "owner")
    assert (created["player_id"], created["org_id"]) == (session["player_id"], organization["id"])
    assert operator_entries(conn) == [
        ("account.created", session["player_id"]),
        ("organization.created", organization["id"]),
    ]
    assert waymark("users", "create", "bob", "--password-stdin", stdin=PASSWORD).startswith("Created bob (")


def test_reset_password_revokes_all_sessions(client: Any, conn: Conn, player: Player) -> None:
    output = waymark(*RESET, player.username.upper(), stdin=NEW_PASSWORD)

    assert output.endswith("revoked 1 session\n")
    assert client.get("/users/me", headers=player.headers).status_code == 401
    assert log_in(client, player, PASSWORD) == 401
    assert log_in(client, player, NEW_PASSWORD) == 200
    assert operator_entries(conn) == [("password.reset", str(player.id))]


def test_reset_password_overrides_a_concurrent_change(client: Any, conn: Conn, player: Player) -> None:
    """An attacker who took the account over may be changing its password at the same moment."""
    attackers_hash = passwords.hash_password("taken over")
    with ThreadPoolExecutor(1) as threads:
        with db.transaction() as attack:
            attack.execute(
                "UPDATE credentials SET password_hash = %s WHERE player_id = %s", (attackers_hash, player.id)
            )
            reset = threads.submit(waymark, *RESET, player.username, stdin=NEW_PASSWORD)
            wait_until_blocked(conn)
        assert "Reset the password" in reset.result(20)
    assert log_in(client, player, "taken over") == 401
    assert log_in(client, player, NEW_PASSWORD) == 200


@pytest.mark.parametrize(
    ("arguments", "password", "status", "message"),
    [
        (("create", "a b", "--password-stdin"), PASSWORD, 2, "letters, digits"),
        (("create", "ada", "--organization", "\x1b", "--password-stdin"), PASSWORD, 2, "on one line"),
        (("create", "ada", "--password-stdin"), "short", 1, "8 to 256"),
        (("create", "ada", "--password", "secret"), "", 2, "No such option"),
        (("reset-password", "unknown", "--password-stdin"), PASSWORD, 1, "No player unknown"),
    ],
)
def test_invalid_arguments_are_named_and_change_nothing(
    conn: Conn, arguments: tuple[str, ...], password: str, status: int, message: str
) -> None:
    assert message in error_of("users", *arguments, stdin=password, status=status)
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (0,)
    assert operator_entries(conn) == []


def test_create_with_a_taken_name_creates_no_organization(conn: Conn, player: Player) -> None:
    create = ("users", "create", player.username, "--organization", "Museum", "--password-stdin")
    assert "taken" in error_of(*create, stdin=PASSWORD)
    assert conn.execute("SELECT count(*) FROM organizations").fetchone() == (0,)


def test_sessions_are_listed_and_revoked(
    app: Flask, client: Any, conn: Conn, player: Player, access_changes: list[UUID]
) -> None:
    other = sign_in(app, conn)
    for _ in range(2):
        assert log_in(client, player, PASSWORD) == 200
    ids = [session["id"] for session in waymark_json("sessions", "list", player.username)]
    assert len(ids) == 3
    assert [line.split()[0] for line in waymark("sessions", "list", player.username).splitlines()] == ["ID", *ids]

    assert waymark("sessions", "revoke", ids[0]) == f"Revoked session {ids[0]}\n"
    assert client.get("/users/me", headers=player.headers).status_code == 401
    for session_id in (ids[0], uuid4()):
        assert error_of("sessions", "revoke", session_id) == f"No active session {session_id}"
    assert waymark("sessions", "revoke", "--user", player.username) == f"Revoked 2 sessions of {player.username}\n"
    assert "--user" in error_of("sessions", "revoke", status=2)
    assert "is not an id" in error_of("sessions", "revoke", "1", status=2)

    assert waymark("sessions", "list", player.username) == f"No active sessions of {player.username}\n"
    assert waymark_json("sessions", "list", player.username) == []
    assert client.get("/users/me", headers=other.headers).status_code == 200
    assert access_changes == [player.id, player.id]
    assert operator_entries(conn) == [("session.revoked", str(ids[0])), ("session.revoked", str(player.id))]
    values = conn.execute("SELECT new FROM audit_log WHERE actor_kind = 'operator' ORDER BY id").fetchall()
    assert values == [(None,), ({"sessions": 2},)]


def test_api_keys_are_listed_by_prefix_and_revoked(conn: Conn, staff: Staff, access_changes: list[UUID]) -> None:
    new_key = NewApiKey.new()
    key = api_keys.add(conn, staff.org_id, new_key, name="kiosk", scopes=["scan"])
    slug = store.get_slug(conn, staff.org_id)

    (listed,) = waymark_json("keys", "list", slug)
    assert (listed["id"], listed["prefix"], listed["scopes"]) == (str(key.id), new_key.prefix, ["scan"])
    assert new_key.text not in waymark("keys", "list", slug)
    assert waymark("keys", "revoke", key.id) == f"Revoked API key {new_key.prefix} (kiosk)\n"

    with pytest.raises(CredentialsRevoked):
        api_keys.authenticate(conn, new_key.text)
    assert access_changes == [key.id]
    assert waymark("keys", "list", slug) == f"No API keys of {slug}\n"
    assert operator_entries(conn) == [("key.revoked", str(key.id))]
    assert error_of("keys", "revoke", key.id) == f"No active API key {key.id}"
    assert error_of("keys", "list", "nothing") == "No organization nothing"


def test_reset_password_of_a_guest_fails(app: Flask, conn: Conn) -> None:
    sign_in(app, conn, "guest")
    assert "guest" in error_of(*RESET, "guest", stdin=PASSWORD)


def test_control_characters_of_names_do_not_reach_the_terminal(conn: Conn, staff: Staff) -> None:
    api_keys.add(conn, staff.org_id, NewApiKey.new(), name="\x1b[2J[red]\u202e", scopes=["scan"])
    for option in ((), ("--json",)):
        output = run("keys", "list", store.get_slug(conn, staff.org_id), *option).stdout
        assert output.replace("\n", "").isprintable()
        assert "[2J[red]" in output


def test_users_are_listed_newest_first(client: Any, conn: Conn, register: Any, app: Flask) -> None:
    ada, bob = register("ada"), register("Bob_1")
    guest = sign_in(app, conn, "bobby")
    assert [user["id"] for user in waymark_json("users", "list")] == [str(each.id) for each in (guest, bob, ada)]
    found = waymark_json("users", "list", "--search", "BOB_")
    assert [(user["username"], user["guest"]) for user in found] == [("Bob_1", False)]
    assert len(waymark_json("users", "list", "--limit", 1)) == 1
    assert waymark("users", "list", "--search", "x") == "No accounts\n"


def test_erase_asks_and_leaves_no_organization_without_an_owner(
    client: Any, conn: Conn, player: Player, monkeypatch: pytest.MonkeyPatch
) -> None:
    slug = waymark_json("organizations", "create", "City quest", "--owner", player.username)["slug"]
    assert "Confirm with --yes" in error_of("users", "erase", player.username)
    erase = ("users", "erase", player.username, "--yes")
    assert f"last owner of {slug}" in error_of(*erase)
    assert client.get("/users/me", headers=player.headers).status_code == 200

    # By the id, which is all that the log of erasures has.
    waymark("users", "erase", player.id, "--yes", "--delete-organizations")
    assert client.get("/users/me", headers=player.headers).status_code == 401
    assert waymark_json("organizations", "list", "--closed")[0]["slug"] == slug
    assert error_of(*erase) == f"No player {player.username}"
    assert error_of("users", "erase", player.id, "--yes") == f"No player {player.id}"
    assert [action for action, _ in operator_entries(conn)] == [
        "organization.created",
        "organization.closed",
        "member.removed",
        "account.erased",
    ]


def test_export_is_a_private_file(client: Any, conn: Conn, player: Player, tmp_path: Path) -> None:
    file = tmp_path / "ada.json"
    file.write_text("readable by all")
    assert waymark("users", "export", player.username, "-o", file) == f"Wrote {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    exported = json.loads(file.read_text())
    assert exported["account"]["id"] == str(player.id)
    assert json.loads(waymark("users", "export", player.username))["account"] == exported["account"]
    assert operator_entries(conn) == 2 * [("account.exported", str(player.id))]
