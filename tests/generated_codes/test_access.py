"""Who may make, read and delete generated codes."""

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


def test_strangers_may_read_but_not_make(client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    assert generate(client).status_code == 401
    url = generate(client, maker).json["image_url"]

    assert client.get(url).status_code == 200
    assert count(conn) == 1


@pytest.mark.usefixtures("open_to_all")
def test_where_it_is_open_anybody_may_make_one_that_nobody_may_delete(
    client: Any, conn: Conn, maker: SignedInPlayer
) -> None:
    made = generate(client)

    assert made.status_code == 201
    assert find(conn, UUID(made.json["qr_id"])).created_by is None
    assert client.delete(f"/retrieve/{made.json['qr_id']}").status_code == 401
    assert client.delete(f"/retrieve/{made.json['qr_id']}", headers=maker.headers).status_code == 403


@pytest.mark.usefixtures("open_to_all")
def test_where_it_is_open_credentials_still_count(client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    made = generate(client, maker)

    assert find(conn, UUID(made.json["qr_id"])).created_by == maker.id
    wrong = client.post("/generate", json={"data": DATA}, headers={"Authorization": "Bearer nonsense"})
    assert wrong.status_code == 401


@pytest.mark.usefixtures("open_to_all")
def test_where_it_is_open_keys_belong_to_an_address(client: Any, conn: Conn) -> None:
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


def test_its_maker_deletes_it_with_its_pictures(client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    url = f"/retrieve/{ask(conn, created_by=maker.id)}"
    worker.render_pending()

    assert client.delete(url, headers=maker.headers).status_code == 204
    assert client.get(url).status_code == 404
    assert client.delete(url, headers=maker.headers).status_code == 404
    assert (count(conn), count(conn, "generated_images")) == (0, 0)


def test_nobody_else_deletes_it(app: Flask, client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    url = f"/retrieve/{ask(conn, created_by=maker.id)}"

    assert client.delete(url, headers=sign_in(app, conn).headers).status_code == 403
    assert client.delete(url).status_code == 401
    assert client.get(url).status_code == 200


@pytest.mark.parametrize("path", ["/retrieve/{}", "/retrieve/{}/image"])
@pytest.mark.parametrize(
    "wrong", ["0197a6b0-0000-7000-8000-000000000000", "1", "none", "0" * 32, "%00", "\u0661" * 36], ids=ascii
)
def test_what_is_not_there(client: Any, maker: SignedInPlayer, path: str, wrong: str) -> None:
    """Ids that are unknown, and those that are none: no credentials are needed, so both are 404."""
    answer = client.get(path.format(wrong))

    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
    assert client.delete(f"/retrieve/{wrong}").status_code == 401
    assert client.delete(f"/retrieve/{wrong}", headers=maker.headers).status_code == 404
