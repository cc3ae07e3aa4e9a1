"""The requests of the QR code generator's clients: FastAPI with Celery, `POST /qr/generate` and `GET /qr/retrieve`."""

from typing import Any
from uuid import UUID

import pytest

from shared.infra.db import Conn
from tests.generated_codes.factories import DATA, PNG, expire, find, read
from tests.support.app_settings import change_settings
from tests.support.callers import SignedInPlayer


@pytest.fixture(autouse=True)
def public_generate(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The older service has no log-in."""
    change_settings(app, monkeypatch, generate_requires_auth=False)


@pytest.mark.parametrize("path", ["/generate", "/qr/generate"])
@pytest.mark.parametrize("body", [{}, {"expiration_hours": None}, {"expiration_hours": 0}])
def test_a_code_without_expiration_never_expires(client: Any, path: str, body: dict[str, Any]) -> None:
    created = client.post(path, json={"data": DATA} | body)
    assert (created.status_code, created.json["expires_at"]) == (201, None)


def test_older_client_generates_and_downloads_a_code(client: Any, conn: Conn) -> None:
    created = client.post("/qr/generate", json={"data": DATA, "expiration_hours": 24}).json
    assert {"qr_id", "expires_at", "image_url"} <= created.keys()
    assert find(conn, UUID(created["qr_id"])).expires_at is not None

    for url in (created["image_url"], f"/qr/retrieve/{created['qr_id']}"):
        image = client.get(url, headers={"Accept": "*/*"})
        assert (image.status_code, image.mimetype, read(image.data)) == (200, "image/png", DATA)


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [(None, "image/png"), ("text/html", "image/png"), ("application/json", "application/json")],
)
def test_image_comes_first_at_the_older_path(client: Any, accept: str | None, mimetype: str) -> None:
    qr_id = client.post("/qr/generate", json={"data": DATA}).json["qr_id"]
    response = client.get(f"/qr/retrieve/{qr_id}", headers={"Accept": accept} if accept else {})
    assert response.mimetype == mimetype
    assert response.data.startswith(PNG) == (mimetype == "image/png")


def test_expired_code_is_410_at_the_older_path(client: Any, conn: Conn) -> None:
    qr_id = client.post("/qr/generate", json={"data": DATA, "expiration_hours": 1}).json["qr_id"]
    expire(conn, UUID(qr_id))
    assert client.get(f"/qr/retrieve/{qr_id}").status_code == 410
    assert client.get("/qr/retrieve/550e8400-e29b-41d4-a716-446655440000").status_code == 404


def test_older_path_needs_a_login_by_default(
    app: Any, client: Any, monkeypatch: pytest.MonkeyPatch, ada: SignedInPlayer
) -> None:
    change_settings(app, monkeypatch, generate_requires_auth=True)
    assert client.post("/qr/generate", json={"data": DATA}).status_code == 401
    assert client.post("/qr/generate", json={"data": DATA}, headers=ada.headers).status_code == 201


def test_health_check_answers_without_a_login(client: Any) -> None:
    response = client.get("/health")
    assert (response.status_code, response.json) == (200, {"status": "healthy"})
