"""Organizations and members over HTTP."""

from typing import Any

import pytest
from flask import Flask

from shared.infra.db import Conn
from shared.organizations import members
from shared.settings import Settings
from tests.support.app_settings import change_settings
from tests.support.callers import SignedInPlayer, Staff, add_member, give_password, sign_in

URL = "/api/organizations"


@pytest.fixture
def ada(app: Flask, conn: Conn) -> SignedInPlayer:
    return sign_in(app, conn, "ada")


def create(client: Any, by: SignedInPlayer, **body: Any) -> Any:
    return client.post(URL, json={"name": "Museum"} | body, headers=by.headers)


def test_the_creator_is_the_owner(client: Any, ada: SignedInPlayer) -> None:
    response = create(client, ada, url="https://museum.example/visit")

    assert response.status_code == 201
    organization = response.json
    assert organization.pop("created_at") == organization.pop("updated_at")
    assert organization == {
        "id": organization["id"],
        "name": "Museum",
        "slug": "museum",
        "url": "https://museum.example/visit",
        "role": "owner",
        "fair_play": {"identical_coordinates": None, "burst": None, "late": None},
        "color": None,
        "color_light": None,
        "color_dark": None,
        "logo_url": None,
        "position_retention_days": 90,
        "closed_at": None,
        "erased_after": None,
    }
    assert response.headers["Location"] == f"{URL}/{organization['id']}"
    assert client.get(response.headers["Location"], headers=ada.headers).json == response.json


@pytest.mark.parametrize(
    ("setting", "permitted"),
    [("everyone", ["guest", "account", "external"]), ("accounts", ["account", "external"]), ("operators", [])],
)
def test_a_setting_says_who_creates_organizations(
    app: Flask, client: Any, conn: Conn, monkeypatch: pytest.MonkeyPatch, setting: str, permitted: list[str]
) -> None:
    change_settings(app, monkeypatch, organization_creation=setting)
    players = {kind: sign_in(app, conn, f"an-{kind}") for kind in ("guest", "account", "external")}
    give_password(conn, players["account"].id, "correct horse")
    conn.execute("INSERT INTO external_identities VALUES ('https://id.example', '1', %s)", (players["external"].id,))

    responses = {kind: create(client, player) for kind, player in players.items()}

    assert [kind for kind, response in responses.items() if response.status_code == 201] == permitted
    details = {response.json["detail"] for response in responses.values() if response.status_code == 403}
    assert all("create organizations" in detail for detail in details)
    assert ("POST /auth/upgrade" in str(details)) is (setting == "accounts")


def test_guests_cannot_create_organizations_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORGANIZATION_CREATION")
    assert Settings().organization_creation == "accounts"


def test_equal_names_get_different_slugs_and_a_taken_slug_is_409(client: Any, ada: SignedInPlayer) -> None:
    slugs = {create(client, ada).json["slug"] for _ in range(3)}

    assert len(slugs) == 3
    assert "museum" in slugs
    assert all(slug.startswith("museum") for slug in slugs)
    assert create(client, ada, slug="museum").status_code == 409
    assert create(client, ada, slug="museum-2").json["slug"] == "museum-2"


def test_list_returns_the_callers_organizations_newest_first(
    client: Any, app: Flask, conn: Conn, ada: SignedInPlayer
) -> None:
    bob = sign_in(app, conn)
    names = [create(client, ada, name=f"No. {number}").json["name"] for number in range(5)]
    shared_id = create(client, bob, name="Bob's").json["id"]
    add_member(conn, shared_id, ada.id, "analyst")

    seen, cursor = [], ""
    while cursor is not None:
        page = client.get(f"{URL}?limit=2&cursor={cursor}" if cursor else f"{URL}?limit=2", headers=ada.headers).json
        seen += [(organization["name"], organization["role"]) for organization in page["items"]]
        cursor = page["next_cursor"]

    assert seen == [("Bob's", "analyst"), *((name, "owner") for name in reversed(names))]
    assert [o["name"] for o in client.get(URL, headers=bob.headers).json["items"]] == ["Bob's"]


def test_patch_changes_only_the_fields_in_the_body(client: Any, ada: SignedInPlayer) -> None:
    before = create(client, ada, url="https://museum.example").json
    path = f"{URL}/{before['id']}"

    renamed = client.patch(path, json={"name": "Gallery"}, headers=ada.headers).json
    moved = client.patch(path, json={"slug": "gallery", "url": None}, headers=ada.headers).json

    assert (renamed["name"], renamed["slug"], renamed["url"]) == ("Gallery", "museum", "https://museum.example")
    assert (moved["name"], moved["slug"], moved["url"]) == ("Gallery", "gallery", None)
    assert moved["created_at"] == before["created_at"]
    assert moved["updated_at"] > before["updated_at"]
    assert client.patch(path, json={}, headers=ada.headers).status_code == 200


def test_a_slug_of_another_organization_is_409(client: Any, ada: SignedInPlayer) -> None:
    create(client, ada)
    other = create(client, ada, slug="other").json

    assert client.patch(f"{URL}/{other['id']}", json={"slug": "museum"}, headers=ada.headers).status_code == 409
    assert client.patch(f"{URL}/{other['id']}", json={"slug": "other"}, headers=ada.headers).status_code == 200


def test_any_member_pages_through_the_members(client: Any, staff: Staff) -> None:
    first = client.get(f"{staff.path}/members?limit=3", headers=staff.member.headers).json
    second = client.get(
        f"{staff.path}/members?limit=3&cursor={first['next_cursor']}", headers=staff.member.headers
    ).json

    roles = [member["role"] for member in first["items"] + second["items"]]
    assert sorted(roles) == ["admin", "analyst", "member", "owner"]
    assert second["next_cursor"] is None


def test_an_owner_changes_roles_and_removes_members(client: Any, conn: Conn, staff: Staff) -> None:
    path = f"{staff.path}/members/{staff.member.id}"

    changed = client.patch(path, json={"role": "admin"}, headers=staff.owner.headers)
    assert (changed.status_code, changed.json["role"]) == (200, "admin")
    assert client.delete(path, headers=staff.owner.headers).status_code == 204
    assert client.get(staff.path, headers=staff.member.headers).status_code == 403
    assert client.delete(path, headers=staff.owner.headers).status_code == 404
    assert client.patch(path, json={"role": "admin"}, headers=staff.owner.headers).status_code == 404


def test_members_can_leave_but_not_remove_others(client: Any, conn: Conn, staff: Staff) -> None:
    for role in ("member", "analyst", "admin"):
        member = staff[role]
        removal = client.delete(f"{staff.path}/members/{staff.owner.id}", headers=member.headers)
        assert removal.status_code == 403
        assert client.delete(f"{staff.path}/members/{member.id}", headers=member.headers).status_code == 204
        assert members.get_role(conn, staff.org_id, member.id) is None
