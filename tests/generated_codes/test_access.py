"""Which clients may create, read and delete generated codes."""

from typing import Any
from uuid import UUID

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.generated_codes.factories import DATA, ask, count, find, generate
from tests.support.app_settings import change_settings
from tests.support.callers import SignedInPlayer, sign_in
from workers import generated_codes as worker


@pytest.fixture
def open_to_all(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """GENERATE_REQUIRES_AUTH=false."""
    change_settings(app, monkeypatch, generate_requires_auth=False)


def test_anonymous_clients_read_but_do_not_create(client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    assert generate(client).status_code == 401
    url = generate(client, maker).json["image_url"]

    assert client.get(url).status_code == 200
    assert count(conn) == 1


@pytest.mark.usefixtures("open_to_all")
def test_codes_of_anonymous_clients_cannot_be_deleted(client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    created = generate(client)

    assert created.status_code == 201
    assert find(conn, UUID(created.json["qr_id"])).created_by is None
    assert client.delete(f"/retrieve/{created.json['qr_id']}").status_code == 401
    assert client.delete(f"/retrieve/{created.json['qr_id']}", headers=maker.headers).status_code == 403


@pytest.mark.usefixtures("open_to_all")
def test_invalid_credentials_are_rejected_if_login_is_optional(client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    created = generate(client, maker)

    assert find(conn, UUID(created.json["qr_id"])).created_by == maker.id
    wrong = client.post("/generate", json={"data": DATA}, headers={"Authorization": "Bearer nonsense"})
    assert wrong.status_code == 401


@pytest.mark.usefixtures("open_to_all")
def test_anonymous_idempotency_keys_belong_to_an_address(client: Any, conn: Conn) -> None:
    def post(address: str, data: str = DATA) -> Any:
        return client.post(
            "/generate",
            json={"data": data},
            headers={"Idempotency-Key": "k"},
            environ_overrides={"REMOTE_ADDR": address},
        )

    first = post("192.0.2.1")
    assert post("192.0.2.1").data == first.data
    assert post("192.0.2.1", "another").status_code == 422
    assert post("192.0.2.2").json["qr_id"] != first.json["qr_id"]
    assert count(conn) == 2


def test_its_creator_deletes_a_code_and_its_images(client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    url = f"/retrieve/{ask(conn, created_by=maker.id)}"
    worker.render_pending()

    assert client.delete(url, headers=maker.headers).status_code == 204
    assert client.get(url).status_code == 404
    assert client.delete(url, headers=maker.headers).status_code == 404
    assert (count(conn), count(conn, "generated_images")) == (0, 0)


def test_other_players_cannot_delete_a_code(app: Flask, client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    url = f"/retrieve/{ask(conn, created_by=maker.id)}"

    assert client.delete(url, headers=sign_in(app, conn).headers).status_code == 403
    assert client.delete(url).status_code == 401
    assert client.get(url).status_code == 200


@pytest.mark.parametrize("path", ["/retrieve/{}", "/retrieve/{}/image"])
@pytest.mark.parametrize(
    "wrong", ["0197a6b0-0000-7000-8000-000000000000", "1", "none", "0" * 32, "%00", "\u0661" * 36], ids=ascii
)
def test_unknown_codes_are_not_found(client: Any, maker: SignedInPlayer, path: str, wrong: str) -> None:
    """Unknown ids and malformed ids. Reading needs no credentials, so both get 404."""
    response = client.get(path.format(wrong))

    assert response.status_code == 404
    assert response.content_type == "application/problem+json"
    assert client.delete(f"/retrieve/{wrong}").status_code == 401
    assert client.delete(f"/retrieve/{wrong}", headers=maker.headers).status_code == 404
