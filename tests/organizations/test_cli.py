"""The operators' command line for organizations."""

from typing import Any

import pytest
from flask import Flask

from shared.infra import db
from shared.infra.db import Conn
from shared.organizations import members, store
from tests.support.callers import Staff, sign_in
from workers.cli import organizations


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process, and return its output."""
    monkeypatch.setattr(db, "close_pool", lambda: None)

    def command(*arguments: str) -> str:
        organizations.main(list(arguments))
        return capsys.readouterr().out

    return command


def test_operators_delete_and_restore(client: Any, conn: Conn, staff: Staff, run: Any) -> None:
    slug = store.get_slug(conn, staff.org_id)
    with pytest.raises(SystemExit, match="has another name"):
        run("delete", slug, "another")
    assert run("list", "--closed") == "No organizations\n"

    assert f"Closed {slug}" in run("delete", slug, slug)  # the factory gives it its slug as its name
    assert client.get(staff.codes, headers=staff.owner.headers).status_code == 410
    assert "closed from" in run("list", "--closed")
    with pytest.raises(SystemExit, match="already closed"):
        run("delete", slug, slug)

    assert f"Restored {slug}" in run("restore", slug)
    assert client.get(staff.codes, headers=staff.owner.headers).status_code == 200
    with pytest.raises(SystemExit, match="not closed"):
        run("restore", slug)
    with pytest.raises(SystemExit, match="No organization"):
        run("restore", "unknown")
    actors = conn.execute("SELECT actor_kind, action FROM audit_log ORDER BY id").fetchall()
    assert actors == [("operator", "organization.closed"), ("operator", "organization.restored")]


def test_operators_invite_an_owner_of_an_organization_without_one(
    app: Flask, client: Any, conn: Conn, staff: Staff, run: Any
) -> None:
    """The last owner left while it was closed."""
    ada, slug = sign_in(app, conn, "ada"), store.get_slug(conn, staff.org_id)
    run("delete", slug, slug)
    assert client.delete(f"{staff.path}/members/{staff.owner.id}", headers=staff.owner.headers).status_code == 204

    for _ in range(2):  # the second invitation replaces the first
        assert "Invited ADA" in run("invite-owner", slug, "ADA")
    run("restore", slug)
    assert members.get_role(conn, staff.org_id, ada.id) is None
    (offer,) = client.get("/users/me/invitations", headers=ada.headers).json["items"]
    assert client.post(f"{offer['url']}/accept", headers=ada.headers).status_code == 200

    assert members.get_role(conn, staff.org_id, ada.id) == "owner"
    with pytest.raises(SystemExit, match="already a member"):
        run("invite-owner", slug, "ada")
    with pytest.raises(SystemExit, match="No player"):
        run("invite-owner", slug, "unknown")
