"""Create codes over HTTP: pending at first, then rendered by a worker; or rejected with the invalid field."""

from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from PIL import Image

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.message_sender import background_sender
from shared.messages import GeneratedCodesPending, Message
from tests.generated_codes.factories import DATA, PNG, count, generate, read
from tests.support.callers import SignedInPlayer
from workers import generated_codes as worker


def test_a_code_is_pending_until_a_worker_renders_it(client: Any, conn: Conn, maker: SignedInPlayer) -> None:
    created = generate(client, maker)

    assert created.status_code == 201
    code_id = created.json["qr_id"]
    assert UUID(code_id).version == 7
    assert created.json == {
        "qr_id": code_id,
        "expires_at": None,
        "status": "pending",
        "image_url": f"/retrieve/{code_id}/image",
    }
    assert created.headers["Location"] == f"/retrieve/{code_id}"
    expected = {"qr_id": code_id, "status": "pending", "qr_code": f"/retrieve/{code_id}/image", "expires_at": None}
    assert client.get(f"/retrieve/{code_id}").json == expected
    worker.render_pending()
    assert client.get(f"/retrieve/{code_id}").json == expected | {"status": "ready"}
    assert read(client.get(created.json["image_url"]).data) == DATA


def test_the_code_is_committed_before_the_message_is_sent(
    client: Any, maker: SignedInPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes_at_submit = []

    def count_codes(message: Message) -> None:
        with db.connection() as other:
            codes_at_submit.append((message, count(other)))

    monkeypatch.setattr(background_sender, "submit", count_codes)
    for headers in ({}, {"Idempotency-Key": "k"}):
        client.post("/generate", json={"data": DATA}, headers=maker.headers | headers)
    assert codes_at_submit == [(GeneratedCodesPending(), 1), (GeneratedCodesPending(), 2)]


@pytest.mark.parametrize("hours", [1, 24, 87_600, 24.0])
def test_a_code_expires_after_its_expiration_hours(
    client: Any, conn: Conn, maker: SignedInPlayer, hours: float
) -> None:
    expires_at = generate(client, maker, expiration_hours=hours).json["expires_at"]

    assert expires_at.endswith("Z")
    row = conn.execute("SELECT created_at FROM generated_codes").fetchone()
    assert row is not None
    assert datetime.fromisoformat(expires_at) == row[0].astimezone(UTC) + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("as_format", "content_type", "first_bytes"),
    [("png", "image/png", PNG), ("svg", "image/svg+xml", b"<"), ("pdf", "application/pdf", b"%PDF-")],
)
def test_the_image_has_the_requested_properties(
    client: Any, maker: SignedInPlayer, as_format: str, content_type: str, first_bytes: bytes
) -> None:
    url = generate(client, maker, format=as_format, size=512, error_correction="H").json["image_url"]
    worker.render_pending()

    response = client.get(url)

    assert response.status_code == 200
    assert response.mimetype == content_type
    assert response.data.startswith(first_bytes)
    assert response.headers["Content-Disposition"].endswith(f'.{as_format}"')
    if as_format == "png":
        with Image.open(BytesIO(response.data)) as image:
            assert image.size == (512, 512)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"data": ""}, "data", "at least 1"),
        ({"data": "a" * 2_954}, "data", "2,953"),
        ({"data": "é" * 1_477}, "data", "2,953"),
        ({"data": "a" * 2_954, "error_correction": "L"}, "data", "2,953"),
        ({"data": "a" * 2_332}, "data", "2,331"),
        ({"data": "é" * 832, "error_correction": "Q"}, "data", "1,663"),
        ({"data": "a" * 1_274, "error_correction": "H"}, "data", "1,273"),
        ({"data": "a\x00"}, "data", "NUL"),
        ({"data": "\ud800"}, "data", "surrogate"),
        ({"data": 5}, "data", "string"),
        ({"data": None}, "data", "string"),
        ({"expiration_hours": -1}, "expiration_hours", "0"),
        ({"expiration_hours": 87_601}, "expiration_hours", "87,600"),
        ({"expiration_hours": 1.5}, "expiration_hours", "whole number"),
        ({"expiration_hours": "24"}, "expiration_hours", "whole number"),
        ({"expiration_hours": True}, "expiration_hours", "whole number"),
        ({"format": "gif"}, "format", "png"),
        ({"format": None}, "format", "png"),
        ({"size": 99}, "size", "100"),
        ({"size": 2_001}, "size", "2,000"),
        ({"size": 300.5}, "size", "whole number"),
        ({"size": "300"}, "size", "whole number"),
        ({"error_correction": "X"}, "error_correction", "L, M, Q or H"),
        ({"error_correction": "m"}, "error_correction", "L, M, Q or H"),
        ({"data": "a" * 2_331, "size": 184}, "size", "185"),
        ({"data": "a" * 1_000, "size": 100}, "size", "at least"),
        ({"date": DATA}, "date", "This field is unknown"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_invalid_requests_name_the_field(
    client: Any, conn: Conn, maker: SignedInPlayer, body: dict[str, Any], field: str, message: str
) -> None:
    response = generate(client, maker, **body)

    assert response.status_code == 422, response.text
    (error,) = response.json["errors"]
    assert error["loc"] == f"body.{field}"
    assert message in error["message"]
    assert count(conn) == 0


@pytest.mark.parametrize(("level", "capacity"), [("L", 2_953), ("M", 2_331), ("Q", 1_663), ("H", 1_273)])
def test_capacity_of_each_error_correction_level(client: Any, maker: SignedInPlayer, level: str, capacity: int) -> None:
    created = generate(client, maker, data="a" * capacity, error_correction=level, size=740)

    assert created.status_code == 201
    assert read(client.get(created.json["image_url"]).data) == "a" * capacity


def test_a_dense_svg_fits_any_size_and_its_png_does_not(client: Any, maker: SignedInPlayer) -> None:
    created = generate(client, maker, data="a" * 2_331, format="svg", size=100)

    assert created.status_code == 201
    assert client.get(created.json["image_url"]).status_code == 200
    response = client.get(f"/retrieve/{created.json['qr_id']}", headers={"Accept": "image/png"})
    assert response.status_code == 406
    assert "185" in response.json["detail"]
