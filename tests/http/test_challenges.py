"""401 and 403 responses say why a token is rejected, in the problem and in WWW-Authenticate (RFC 6750, section 3)."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from shared.infra.db import Conn
from tests.accounts.forged_tokens import changed, claims_of, signed
from tests.security.test_role_matrix import UPGRADE
from tests.support.callers import SignedInPlayer, Staff, make_key, make_staff, sign_in

EXPIRED = changed(exp=int(time.time()) - 1)


def revoked_token(conn: Conn, player: SignedInPlayer) -> str:
    conn.execute(
        "UPDATE sessions SET revoked_at = now(), revoked_reason = 'logout' WHERE id = %s", (player.session_id,)
    )
    return player.access_token


def key(conn: Conn, staff: Staff, change: str = "last_used_at = now()") -> str:
    """Return the text of a new key, whose row is then changed."""
    machine = make_key(conn, staff.org_id)
    conn.execute(f"UPDATE api_keys SET {change} WHERE id = %s", (machine.id,))
    return machine.text


def wrong_secret(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


Header = Callable[[Conn, Staff], str | None]
REJECTED: list[tuple[str, Header, str]] = [
    ("no header", lambda *_: None, "missing"),
    ("another scheme", lambda _, staff: f"Basic {staff.owner.access_token}", "missing"),
    ("no token", lambda *_: "Bearer", "malformed"),
    ("a blank token", lambda *_: "Bearer  ", "malformed"),
    ("two tokens", lambda _, staff: f"Bearer {staff.owner.access_token} more", "malformed"),
    ("not a token", lambda *_: "Bearer nonsense", "malformed"),
    ("quotes", lambda *_: 'Bearer "a\\"', "malformed"),
    ("half a key", lambda conn, staff: f"Bearer {key(conn, staff)[:-1]}", "malformed"),
    ("wrong secret of a key", lambda conn, staff: f"Bearer {wrong_secret(key(conn, staff))}", "invalid"),
    (
        "wrong signature",
        lambda _, staff: f"Bearer {signed(claims_of(staff.owner.access_token), key=b'k' * 32)}",
        "invalid",
    ),
    ("refresh token", lambda _, staff: f"Bearer {staff.owner.refresh_token}", "invalid"),
    ("expired token", lambda _, staff: f"Bearer {EXPIRED(staff.owner)}", "expired"),
    ("expired key", lambda conn, staff: f"Bearer {key(conn, staff, 'expires_at = now()')}", "expired"),
    ("ended session", lambda conn, staff: f"Bearer {revoked_token(conn, staff.owner)}", "revoked"),
    ("revoked key", lambda conn, staff: f"Bearer {key(conn, staff, 'revoked_at = now()')}", "revoked"),
]


@pytest.mark.parametrize(("header", "reason"), [pytest.param(*each[1:], id=each[0]) for each in REJECTED])
def test_401_says_why(client: Any, conn: Conn, staff: Staff, header: Header, reason: str) -> None:
    value = header(conn, staff)
    headers = {"Authorization": value} if value is not None else {}

    for path, extra in ((staff.codes, {}), ("/users/me", {}), (f"/ws/{staff.owner.id}", UPGRADE)):
        response = client.get(path, headers=headers | extra)

        assert response.status_code == 401
        assert response.json["reason"] == reason
        if reason == "missing":
            assert response.headers["WWW-Authenticate"] == "Bearer"
        else:
            description = response.json["detail"]
            assert response.headers["WWW-Authenticate"] == (
                f'Bearer error="invalid_token", error_description="{description}"'
            )
            assert not set(description) & set('"\\')


def test_state_of_a_key_is_not_revealed_without_its_secret(client: Any, conn: Conn, staff: Staff) -> None:
    guess = wrong_secret(key(conn, staff, "revoked_at = now()"))

    assert client.get(staff.codes, headers={"Authorization": f"Bearer {guess}"}).json["reason"] == "invalid"


@pytest.mark.parametrize("scheme", ["bearer ", "BEARER ", "bEaReR   "])
def test_scheme_is_case_insensitive(client: Any, conn: Conn, staff: Staff, scheme: str) -> None:
    """For tokens, refresh tokens and keys. The number of spaces does not matter."""
    for token, method, path in (
        (staff.owner.access_token, "GET", staff.codes),
        (staff.owner.refresh_token, "POST", "/auth/refresh"),
        (key(conn, staff), "GET", staff.codes),
    ):
        assert client.open(path, method=method, headers={"Authorization": scheme + token}).status_code == 200


def test_missing_scope_is_named(client: Any, conn: Conn, staff: Staff) -> None:
    response = client.get(staff.codes, headers=make_key(conn, staff.org_id, "scan").headers)

    assert response.status_code == 403
    assert response.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="codes:read"'


def test_reused_refresh_token_is_revoked(client: Any, staff: Staff) -> None:
    headers = {"Authorization": f"Bearer {staff.owner.refresh_token}"}
    assert client.post("/auth/refresh", headers=headers).status_code == 200

    response = client.post("/auth/refresh", headers=headers)

    assert (response.status_code, response.json["reason"]) == (401, "revoked")


def test_expired_tokens_of_one_address_do_not_share_a_limit(limited: Callable[..., Any], conn: Conn) -> None:
    """They count per player, and apart from the player's valid tokens."""
    client = limited(ANONYMOUS="1 per minute", DEFAULT="1 per minute")
    ada, grace = (sign_in(client.application, conn) for _ in range(2))

    def get(token: str) -> int:
        return int(client.get("/users/me", headers={"Authorization": f"Bearer {token}"}).status_code)

    assert [get(EXPIRED(ada)), get(EXPIRED(grace)), get(EXPIRED(ada))] == [401, 401, 429]
    assert get(ada.access_token) == 200


def test_known_key_has_its_limit_in_any_case_of_the_scheme(limited: Callable[..., Any], conn: Conn) -> None:
    client = limited(ANONYMOUS="1 per minute", API_KEY="2 per minute")
    staff = make_staff(client.application, conn)
    text = key(conn, staff)

    schemes = ("Bearer", "bearer", "BEARER ")
    statuses = [client.get(staff.codes, headers={"Authorization": f"{each} {text}"}).status_code for each in schemes]
    assert statuses == [200, 200, 200]
