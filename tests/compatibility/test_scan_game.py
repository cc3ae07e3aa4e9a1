"""The requests of the scan game's phone app: a form as log-in, and the tables of the seed schema."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import PASSWORD, Player
from tests.support.callers import bearer

FORM = {"username": "explorer_1x", "password": PASSWORD}


def test_phone_app_logs_in_with_a_form(client: Any, register: Callable[..., Player]) -> None:
    """The app sends no grant type. Its API has the field names of RFC 6749, section 5.1."""
    player = register(FORM["username"])

    response = client.post("/auth/login", data=FORM)

    assert response.status_code == 200
    assert {"access_token", "token_type", "expires_in", "refresh_token"} <= response.json.keys()
    assert response.headers["Cache-Control"] == "no-store"
    profile = client.get("/users/me", headers=bearer(response.json["access_token"])).json
    assert profile["username"] == player.username


def test_oauth_client_logs_in(client: Any, register: Callable[..., Player]) -> None:
    """Parameters that the server does not know are ignored (RFC 6749, section 3.2)."""
    register(FORM["username"])
    grant = FORM | {"grant_type": "password", "scope": "", "client_id": "string", "client_secret": "x"}
    response = client.post("/auth/login", data=grant, headers={"Authorization": "Basic c3RyaW5nOng="})
    assert (response.status_code, response.json["token_type"]) == (200, "Bearer")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        (FORM | {"password": "wrong horse"}, 401, "invalid_grant"),
        (FORM | {"username": "unknown"}, 401, "invalid_grant"),
        (FORM | {"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"username": "explorer_1x"}, 400, "invalid_request"),
        ({}, 400, "invalid_request"),
        (FORM | {"username": ["ada", "explorer_1x"]}, 400, "invalid_request"),
        (FORM | {"username": "a\x00"}, 422, None),
        (FORM | {"password": "x" * 257}, 422, None),
    ],
)
def test_rejected_form_names_the_error(
    client: Any, register: Callable[..., Player], form: dict[str, Any], status: int, error: str | None
) -> None:
    register(FORM["username"])
    response = client.post("/auth/login", data=form, content_type="application/x-www-form-urlencoded")
    assert (response.status_code, response.json.get("error")) == (status, error)
    assert response.json.get("error_description") == (response.json["detail"] if error else None)


def test_only_the_log_in_takes_a_form(client: Any) -> None:
    assert client.post("/auth/register", data=FORM).status_code == 415
    assert client.post("/auth/login", data=FORM, content_type="multipart/form-data").status_code == 415
    long = FORM | {"password": "x" * 20_000}
    assert client.post("/auth/login", data=long).status_code == 413
