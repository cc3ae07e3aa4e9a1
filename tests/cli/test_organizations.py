"""`waymark organizations`."""

from typing import Any

from flask import Flask

from shared.infra.db import Conn
from shared.organizations import members, store
from tests.cli.conftest import operator_entries
from tests.support.callers import Staff, sign_in
from tests.support.command_line import error_of, waymark, waymark_json


def test_operators_delete_and_restore(client: Any, conn: Conn, staff: Staff) -> None:
    slug = store.get_slug(conn, staff.org_id)
    assert "--yes" in error_of("organizations", "delete", slug)  # no terminal to ask
    assert waymark("organizations", "list", "--closed") == "No organizations\n"

    assert f"Closed {slug}" in waymark("organizations", "delete", slug, "--yes")
    assert client.get(staff.codes, headers=staff.owner.headers).status_code == 410
    (listed,) = waymark_json("organizations", "list", "--closed")
    assert listed["closed_at"] is not None
    assert "already closed" in error_of("organizations", "delete", slug, "--yes")

    assert f"Restored {slug}" in waymark("organizations", "restore", slug)
    assert client.get(staff.codes, headers=staff.owner.headers).status_code == 200
    assert "not closed" in error_of("organizations", "restore", slug)
    for command in ("restore", "delete"):
        assert error_of("organizations", command, "unknown") == "No organization unknown"
    assert [action for action, _ in operator_entries(conn)] == ["organization.closed", "organization.restored"]


def test_created_organization_lists_its_owner(app: Flask, conn: Conn) -> None:
    ada = sign_in(app, conn, "ada")
    created = waymark_json("organizations", "create", "City quest", "--owner", "ADA")
    (member,) = waymark_json("organizations", "members", created["slug"])
    assert (member["player_id"], member["username"], member["role"]) == (str(ada.id), "ada", "owner")
    assert operator_entries(conn) == [("organization.created", created["id"])]
    assert error_of("organizations", "create", "X", "--owner", "unknown") == "No player unknown"


def test_operators_invite_an_owner_of_an_organization_without_one(
    app: Flask, client: Any, conn: Conn, staff: Staff
) -> None:
    """The last owner left while it was closed."""
    ada, slug = sign_in(app, conn, "ada"), store.get_slug(conn, staff.org_id)
    waymark("organizations", "delete", slug, "--yes")
    assert client.delete(f"{staff.path}/members/{staff.owner.id}", headers=staff.owner.headers).status_code == 204

    for _ in range(2):  # the second invitation replaces the first
        assert "Invited ADA" in waymark("organizations", "transfer", slug, "ADA")
    waymark("organizations", "restore", slug)
    assert members.get_role(conn, staff.org_id, ada.id) is None
    (offer,) = client.get("/users/me/invitations", headers=ada.headers).json["items"]
    assert client.post(f"{offer['url']}/accept", headers=ada.headers).status_code == 200

    assert members.get_role(conn, staff.org_id, ada.id) == "owner"
    assert "already a member" in error_of("organizations", "transfer", slug, "ada")
    assert error_of("organizations", "transfer", slug, "unknown") == "No player unknown"
