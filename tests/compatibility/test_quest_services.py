"""The requests of the quest services' clients: claims by query, and the sign-ins that their auth service reports."""

from typing import Any

import pytest

from tests.support.callers import SignedInPlayer

SIGNIN, SIGNUP, CLAIM = (f"/api/v1/track/{name}" for name in ("signin", "signup", "claim_reward"))


def test_auth_service_reports_sign_ins_with_a_body(client: Any, our_catalog: str, ada: SignedInPlayer) -> None:
    """It sends the player's token and `{"user_id": 3}`."""
    for path in (SIGNIN, SIGNUP):
        assert client.post(path, json={"user_id": 3}, headers=ada.headers).status_code == 200


@pytest.mark.parametrize("options", [{}, {"content_type": "application/json"}], ids=["no body", "no body, JSON"])
def test_reward_is_claimed_by_query(
    client: Any, our_catalog: str, ada: SignedInPlayer, options: dict[str, Any]
) -> None:
    for _ in range(3):
        client.post(SIGNIN, headers=ada.headers)

    claimed = client.post(f"{CLAIM}?quest_name=sign-in-three-times", headers=ada.headers, **options)
    again = client.post(f"{CLAIM}?quest_name=sign-in-three-times", headers=ada.headers, **options)

    assert claimed.status_code == 200
    assert claimed.json["message"] == "Reward claimed successfully"
    assert claimed.json["reward"].keys() == {"item", "qty"}
    assert again.status_code == 409


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("", None, 422),
        ("", {}, 422),
        ("?quest_name=", None, 422),
        ("?quest_name=a", {"quest_name": "b"}, 422),
        ("?quest_name=a", {"other": 1}, 422),
        ("?quest_name=no-such-quest", {}, 404),
        ("", {"quest_name": "no-such-quest"}, 404),
    ],
)
def test_quest_is_named_once(
    client: Any, our_catalog: str, ada: SignedInPlayer, query: str, body: dict[str, Any] | None, status: int
) -> None:
    options = {} if body is None else {"json": body}
    assert client.post(CLAIM + query, headers=ada.headers, **options).status_code == status


def test_retry_of_a_claim_by_query_returns_the_first_response(
    client: Any, our_catalog: str, ada: SignedInPlayer
) -> None:
    for _ in range(3):
        client.post(SIGNIN, headers=ada.headers)
    headers = ada.headers | {"Idempotency-Key": "one"}
    options: dict[str, Any] = {"headers": headers, "content_type": "application/json"}

    responses = [client.post(f"{CLAIM}?quest_name=sign-in-three-times", **options) for _ in range(2)]

    assert [response.status_code for response in responses] == [200, 200]
    assert client.post(f"{CLAIM}?quest_name=sign-up", **options).status_code == 422
