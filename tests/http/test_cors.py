"""CORS: only origins on the allow-list can call the API and read its responses, errors included."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.callers import sign_in

GAME = "https://game.example"
OTHERS = [
    "https://evil.example",
    "http://game.example",
    "https://game.example:8443",
    "https://GAME.example",
    "https://game.example.evil.example",
    "null",
    "*",
    "",
]
WANTED = {"Origin": GAME, "Access-Control-Request-Method": "POST"}


@pytest.fixture
def client(serve: Callable[..., Any]) -> Any:
    return serve(ALLOWED_ORIGINS=f"{GAME},http://[::1]:3000")


def test_preflight_needs_no_credentials(client: Any) -> None:
    headers = WANTED | {"Access-Control-Request-Headers": "authorization, content-type,idempotency-key"}
    response = client.options("/scan", headers=headers)

    assert response.status_code == 204
    assert response.data == b""
    assert response.headers["Access-Control-Allow-Origin"] == GAME
    assert {"POST", "PATCH", "DELETE"} <= set(response.headers["Access-Control-Allow-Methods"].split(", "))
    assert {"Authorization", "Prefer", "Range"} <= set(response.headers["Access-Control-Allow-Headers"].split(", "))
    assert response.headers["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize(
    "changes",
    [
        *({"Origin": origin} for origin in OTHERS),
        {"Access-Control-Request-Method": "TRACE"},
        {"Access-Control-Request-Method": "post"},
        {"Access-Control-Request-Headers": "authorization, x-forwarded-for"},
        {"Access-Control-Request-Headers": "cookie"},
    ],
    ids=str,
)
def test_preflight_of_another_origin_method_or_header_is_403(client: Any, changes: dict[str, str]) -> None:
    response = client.options("/scan", headers=WANTED | changes)

    assert response.status_code == 403
    assert response.content_type == "application/problem+json"
    assert "Access-Control-Allow-Methods" not in response.headers
    assert response.headers.get("Access-Control-Allow-Origin") in (None, (WANTED | changes)["Origin"])


@pytest.mark.parametrize("origin", OTHERS)
def test_other_origin_gets_no_cors_headers(client: Any, origin: str) -> None:
    response = client.get("/healthz", headers={"Origin": origin})

    assert response.status_code == 200
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Origin" in response.headers["Vary"]


def test_origin_with_an_ipv6_address_is_not_a_pattern(client: Any) -> None:
    for origin, allowed in (
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://::3000", None),
        ("http://1:3000", None),
    ):
        response = client.get("/healthz", headers={"Origin": origin})
        assert response.headers.get("Access-Control-Allow-Origin") == allowed


def test_error_responses_have_cors_headers(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    asked = [
        client.get("/users/me", headers={"Origin": GAME}),
        client.get("/nothing/here", headers={"Origin": GAME}),
        client.post("/auth/login", data="{", headers={"Origin": GAME}),
    ]
    monkeypatch.setitem(client.application.view_functions, "health.readyz", public(broken))
    asked.append(client.get("/readyz", headers={"Origin": GAME}))

    assert [response.status_code for response in asked] == [401, 404, 415, 500]
    for response in asked:
        assert response.headers["Access-Control-Allow-Origin"] == GAME
        assert {"Retry-After", "RateLimit-Remaining", "ETag", "Idempotent-Replayed", "X-Request-ID"} <= set(
            response.headers["Access-Control-Expose-Headers"].split(", ")
        )


def public(view: Callable[..., Any]) -> Callable[..., Any]:
    from web.http.auth import public

    return public(view)


def test_rate_limited_response_has_cors_headers(serve: Callable[..., Any], conn: Any) -> None:
    client = serve(ALLOWED_ORIGINS=GAME, RATE_LIMITS_ENABLED="true", RATE_LIMIT_DEFAULT="1 per minute")
    headers = sign_in(client.application, conn).headers | {"Origin": GAME}

    response = [client.get("/users/me", headers=headers) for _ in range(2)][-1]

    assert response.status_code == 429
    assert response.headers["Access-Control-Allow-Origin"] == GAME
    assert client.options("/users/me", headers=WANTED).status_code == 204


def test_request_without_origin_gets_no_cors_headers(client: Any) -> None:
    plain = client.options("/scan")

    assert plain.status_code == 200
    assert "POST" in plain.headers["Allow"]
    assert "Access-Control-Allow-Methods" not in plain.headers
    assert "Access-Control-Allow-Origin" not in client.get("/healthz").headers


def test_empty_allow_list_allows_no_origin(serve: Callable[..., Any]) -> None:
    client = serve(ALLOWED_ORIGINS="")

    assert client.options("/scan", headers=WANTED).status_code == 403
    response = client.get("/healthz", headers={"Origin": GAME})
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Vary" not in response.headers


def test_vary_of_a_view_is_kept_with_origin_added(client: Any) -> None:
    from shared.infra.ids import uuid7

    response = client.get(f"/retrieve/{uuid7()}", headers={"Origin": GAME})
    assert response.headers["Vary"].count("Origin") == 1
