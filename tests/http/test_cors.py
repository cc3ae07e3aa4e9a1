"""Pages of other origins: only those on the list may call, and read what they are told, refusals included."""

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


def test_a_preflight_is_answered_before_anybody_signs_in(client: Any) -> None:
    headers = WANTED | {"Access-Control-Request-Headers": "authorization, content-type,idempotency-key"}
    answer = client.options("/scan", headers=headers)

    assert answer.status_code == 204
    assert answer.data == b""
    assert answer.headers["Access-Control-Allow-Origin"] == GAME
    assert {"POST", "PATCH", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))
    assert {"Authorization", "Prefer", "Range"} <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    assert answer.headers["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


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
def test_other_preflights_are_refused(client: Any, changes: dict[str, str]) -> None:
    answer = client.options("/scan", headers=WANTED | changes)

    assert answer.status_code == 403
    assert answer.content_type == "application/problem+json"
    assert "Access-Control-Allow-Methods" not in answer.headers
    assert answer.headers.get("Access-Control-Allow-Origin") in (None, (WANTED | changes)["Origin"])


@pytest.mark.parametrize("origin", OTHERS)
def test_other_origins_may_read_nothing(client: Any, origin: str) -> None:
    answer = client.get("/healthz", headers={"Origin": origin})

    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_an_origin_with_an_address_of_ipv6_is_no_pattern(client: Any) -> None:
    for origin, allowed in (
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("http://::3000", None),
        ("http://1:3000", None),
    ):
        answer = client.get("/healthz", headers={"Origin": origin})
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed


def test_refusals_can_be_read_too(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    asked = [
        client.get("/users/me", headers={"Origin": GAME}),
        client.get("/nothing/here", headers={"Origin": GAME}),
        client.post("/auth/login", data="{", headers={"Origin": GAME}),
    ]
    monkeypatch.setitem(client.application.view_functions, "health.readyz", public(broken))
    asked.append(client.get("/readyz", headers={"Origin": GAME}))

    assert [answer.status_code for answer in asked] == [401, 404, 415, 500]
    for answer in asked:
        assert answer.headers["Access-Control-Allow-Origin"] == GAME
        assert {"Retry-After", "RateLimit-Remaining", "ETag", "X-Request-ID"} <= set(
            answer.headers["Access-Control-Expose-Headers"].split(", ")
        )


def public(view: Callable[..., Any]) -> Callable[..., Any]:
    from web.http.auth import public

    return public(view)


def test_a_spent_budget_can_be_read_too(serve: Callable[..., Any], conn: Any) -> None:
    client = serve(ALLOWED_ORIGINS=GAME, RATE_LIMITS_ENABLED="true", RATE_LIMIT_DEFAULT="1 per minute")
    headers = sign_in(client.application, conn).headers | {"Origin": GAME}

    answer = [client.get("/users/me", headers=headers) for _ in range(2)][-1]

    assert answer.status_code == 429
    assert answer.headers["Access-Control-Allow-Origin"] == GAME
    assert client.options("/users/me", headers=WANTED).status_code == 204


def test_without_an_origin_nothing_changes(client: Any) -> None:
    plain = client.options("/scan")

    assert plain.status_code == 200
    assert "POST" in plain.headers["Allow"]
    assert "Access-Control-Allow-Methods" not in plain.headers
    assert "Access-Control-Allow-Origin" not in client.get("/healthz").headers


def test_nobody_is_on_the_list_unless_somebody_is(serve: Callable[..., Any]) -> None:
    client = serve(ALLOWED_ORIGINS="")

    assert client.options("/scan", headers=WANTED).status_code == 403
    answer = client.get("/healthz", headers={"Origin": GAME})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Vary" not in answer.headers


def test_what_varies_already_goes_on_varying(client: Any) -> None:
    from shared.infra.ids import uuid7

    answer = client.get(f"/retrieve/{uuid7()}", headers={"Origin": GAME})
    assert answer.headers["Vary"].count("Origin") == 1
