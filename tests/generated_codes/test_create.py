"""Asking for a code over HTTP: there at once, drawn by a worker, or refused by the name of the field."""

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


def test_a_code_is_there_at_once_and_ready_when_a_worker_has_drawn_it(
    client: Any, conn: Conn, maker: SignedInPlayer
) -> None:
    made = generate(client, maker)

    assert made.status_code == 201
    code_id = made.json["qr_id"]
    assert UUID(code_id).version == 7
    assert made.json == {
        "qr_id": code_id,
        "expires_at": None,
        "status": "pending",
        "image_url": f"/retrieve/{code_id}/image",
    }
    assert made.headers["Location"] == f"/retrieve/{code_id}"
    told = {"qr_id": code_id, "status": "pending", "qr_code": f"/retrieve/{code_id}/image", "expires_at": None}
    assert client.get(f"/retrieve/{code_id}").json == told
    worker.render_pending()
    assert client.get(f"/retrieve/{code_id}").json == told | {"status": "ready"}
    assert read(client.get(made.json["image_url"]).data) == DATA


def test_it_is_committed_before_anybody_is_nudged(
    client: Any, maker: SignedInPlayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(message: Message) -> None:
        with db.connection() as other:
            seen.append((message, count(other)))

    monkeypatch.setattr(background_sender, "submit", look)
    for headers in ({}, {"Idempotency-Key": "k"}):
        client.post("/generate", json={"data": DATA}, headers=maker.headers | headers)
    assert seen == [(GeneratedCodesPending(), 1), (GeneratedCodesPending(), 2)]


@pytest.mark.parametrize("hours", [1, 24, 87_600, 24.0])
def test_it_expires_so_many_hours_after_it_was_made(
    client: Any, conn: Conn, maker: SignedInPlayer, hours: float
) -> None:
    told = generate(client, maker, expiration_hours=hours).json["expires_at"]

    assert told.endswith("Z")
    row = conn.execute("SELECT created_at FROM generated_codes").fetchone()
    assert row is not None
    assert datetime.fromisoformat(told) == row[0].astimezone(UTC) + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("as_format", "content_type", "begins"),
    [("png", "image/png", PNG), ("svg", "image/svg+xml", b"<"), ("pdf", "application/pdf", b"%PDF-")],
)
def test_it_is_drawn_as_asked(
    client: Any, maker: SignedInPlayer, as_format: str, content_type: str, begins: bytes
) -> None:
    url = generate(client, maker, format=as_format, size=512, error_correction="H").json["image_url"]
    worker.render_pending()

    answer = client.get(url)

    assert answer.status_code == 200
    assert answer.mimetype == content_type
    assert answer.data.startswith(begins)
    assert answer.headers["Content-Disposition"].endswith(f'.{as_format}"')
    if as_format == "png":
        with Image.open(BytesIO(answer.data)) as image:
            assert image.size == (512, 512)


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"data": ""}, "data", "at least 1"),
        ({"data": "a" * 2_954}, "data", "2953"),
        ({"data": "é" * 1_477}, "data", "2,953"),
        ({"data": "a" * 2_954, "error_correction": "L"}, "data", "2953"),
        ({"data": "a" * 2_332}, "data", "2,331"),
        ({"data": "é" * 832, "error_correction": "Q"}, "data", "1,663"),
        ({"data": "a" * 1_274, "error_correction": "H"}, "data", "1,273"),
        ({"data": "a\x00"}, "data", "NUL"),
        ({"data": "\ud800"}, "data", "surrogate"),
        ({"data": 5}, "data", "string"),
        ({"data": None}, "data", "string"),
        ({"expiration_hours": 0}, "expiration_hours", "1"),
        ({"expiration_hours": 87_601}, "expiration_hours", "87600"),
        ({"expiration_hours": 1.5}, "expiration_hours", "integer"),
        ({"expiration_hours": "24"}, "expiration_hours", "integer"),
        ({"expiration_hours": True}, "expiration_hours", "integer"),
        ({"format": "gif"}, "format", "'png'"),
        ({"format": None}, "format", "'png'"),
        ({"size": 99}, "size", "100"),
        ({"size": 2_001}, "size", "2000"),
        ({"size": 300.5}, "size", "integer"),
        ({"size": "300"}, "size", "integer"),
        ({"error_correction": "X"}, "error_correction", "'L'"),
        ({"error_correction": "m"}, "error_correction", "'L'"),
        ({"data": "a" * 2_331, "size": 184}, "size", "185"),
        ({"data": "a" * 1_000, "size": 100}, "size", "at least"),
        ({"date": DATA}, "date", "not permitted"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_what_cannot_be_is_refused_by_name(
    client: Any, conn: Conn, maker: SignedInPlayer, body: dict[str, Any], field: str, says: str
) -> None:
    answer = generate(client, maker, **body)

    assert answer.status_code == 422, answer.text
    (fault,) = answer.json["errors"]
    assert fault["loc"] == f"body.{field}"
    assert says in fault["message"]
    assert count(conn) == 0


@pytest.mark.parametrize(("level", "most"), [("L", 2_953), ("M", 2_331), ("Q", 1_663), ("H", 1_273)])
def test_each_level_holds_what_the_standard_says(client: Any, maker: SignedInPlayer, level: str, most: int) -> None:
    made = generate(client, maker, data="a" * most, error_correction=level, size=740)

    assert made.status_code == 201
    assert read(client.get(made.json["image_url"]).data) == "a" * most


def test_a_drawing_that_divides_pixels_fits_any_size_but_is_not_to_be_had_as_a_png(
    client: Any, maker: SignedInPlayer
) -> None:
    made = generate(client, maker, data="a" * 2_331, format="svg", size=100)

    assert made.status_code == 201
    assert client.get(made.json["image_url"]).status_code == 200
    refused = client.get(f"/retrieve/{made.json['qr_id']}", headers={"Accept": "image/png"})
    assert refused.status_code == 406
    assert "185" in refused.json["detail"]
