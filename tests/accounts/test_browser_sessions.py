"""Sessions of browsers: a cookie instead of tokens, and no writes from other sites."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from shared.accounts import sessions, store
from shared.accounts.csrf import may_write
from shared.infra import db
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.infra.redis import client as redis_client
from tests.conftest import PASSWORD, Player
from tests.support.concurrency import run_concurrently, wait_until_blocked

OWN = "http://localhost"
SAME = {"Sec-Fetch-Site": "same-origin", "Origin": OWN}
TLS = {"base_url": "https://localhost", "headers": {"Sec-Fetch-Site": "same-origin", "Origin": "https://localhost"}}
ADA = {"username": "ada", "password": PASSWORD}


@pytest.mark.parametrize(
    ("method", "site", "origin", "expected"),
    [
        ("GET", "cross-site", "https://evil.example", True),
        ("HEAD", None, None, True),
        ("POST", "same-origin", None, True),
        ("POST", "same-origin", "https://evil.example", True),
        ("POST", "same-site", OWN, False),
        ("POST", "cross-site", OWN, False),
        ("POST", "none", OWN, False),
        ("POST", "", OWN, False),
        ("POST", None, OWN, True),
        ("POST", None, "null", False),
        ("POST", None, "http://localhost.evil.example", False),
        ("POST", None, None, False),
        ("DELETE", None, None, False),
    ],
)
def test_only_own_pages_may_write(method: str, site: str | None, origin: str | None, expected: bool) -> None:
    assert may_write(method, site, origin, {OWN}) is expected


@given(st.sampled_from(["POST", "PUT", "PATCH", "DELETE"]), st.none() | st.text(), st.none() | st.text())
def test_no_other_value_may_write(method: str, site: str | None, origin: str | None) -> None:
    assert may_write(method, site, origin, {OWN}) == (site == "same-origin" or (site is None and origin == OWN))


def register(client: Any, **fields: str) -> Any:
    return client.post("/session/register", json=ADA | fields, headers=SAME)


def test_sign_in_sets_a_cookie_that_no_script_can_read(client: Any) -> None:
    created = register(client)
    assert created.status_code == 201
    assert created.json.keys() == {"player_id", "username", "guest", "expires_at"}
    assert client.delete("/session", headers=SAME).status_code == 204

    signed_in = client.post("/session", json=ADA, headers=SAME)

    assert (signed_in.status_code, signed_in.json["username"], signed_in.json["guest"]) == (201, "ada", False)
    cookie = signed_in.headers["Set-Cookie"]
    assert cookie.startswith("waymark=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    readable = signed_in.headers.getlist("Set-Cookie")[1]
    assert readable.startswith(f"waymark_player={created.json['player_id']};")
    assert "HttpOnly" not in readable
    assert client.get("/session").json["player_id"] == created.json["player_id"]
    assert client.get("/users/me").json["username"] == "ada"


def test_cookie_over_tls_has_the_host_prefix(client: Any) -> None:
    created = client.post("/session/register", json=ADA, **TLS)

    cookie = created.headers["Set-Cookie"]
    assert cookie.startswith("__Host-waymark=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert client.get("/session", **TLS).status_code == 200


def test_host_prefix_wins_over_the_other_cookie(client: Any) -> None:
    ada = register(client).headers["Set-Cookie"].split(";")[0].removeprefix("waymark=")
    other = client.application.test_client()
    eve = register(other, username="eve").headers["Set-Cookie"].split(";")[0].removeprefix("waymark=")

    both = {"Cookie": f"waymark={eve}; __Host-waymark={ada}"}
    assert client.application.test_client(use_cookies=False).get("/session", headers=both).json["username"] == "ada"


@pytest.mark.parametrize("body", [ADA | {"password": "wrong password"}, {"username": "unknown", "password": PASSWORD}])
def test_wrong_guess_is_401_without_a_cookie(client: Any, body: dict[str, str]) -> None:
    register(client.application.test_client())

    response = client.post("/session", json=body, headers=SAME)

    assert response.status_code == 401
    assert "Set-Cookie" not in response.headers


def test_guest_keeps_everything_as_an_account(client: Any) -> None:
    guest = client.post("/session/guest", headers=SAME | {"Idempotency-Key": str(uuid4())})
    assert (guest.status_code, guest.json["guest"]) == (201, True)
    assert client.get("/session").json["guest"] is True

    upgraded = client.post("/session/upgrade", json=ADA, headers=SAME)

    assert (upgraded.status_code, upgraded.json["guest"]) == (200, False)
    assert upgraded.json["player_id"] == guest.json["player_id"]
    assert client.get("/users/me").json["username"] == "ada"
    assert client.post("/session/upgrade", json=ADA | {"username": "bob"}, headers=SAME).status_code == 409


def test_retry_of_a_guest_returns_the_same_guest(client: Any) -> None:
    headers = SAME | {"Idempotency-Key": str(uuid4())}
    first = client.post("/session/guest", headers=headers)
    retry = client.application.test_client().post("/session/guest", headers=headers)

    assert first.json["player_id"] == retry.json["player_id"]


def test_taken_username_is_409(client: Any) -> None:
    register(client.application.test_client())

    assert register(client, username="ADA").status_code == 409


def test_header_wins_over_the_cookie(client: Any, player: Player) -> None:
    register(client, username="eve")

    assert client.get("/users/me", headers=player.headers).json["username"] == player.username
    assert client.get("/users/me", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_session_routes_refuse_an_authorization_header(client: Any, player: Player) -> None:
    assert client.get("/session", headers=player.headers).status_code == 403
    assert client.post("/session", json=ADA, headers=SAME | player.headers).status_code == 403


def test_token_types_cannot_be_exchanged(client: Any, player: Player) -> None:
    """A session token is no bearer token, and an access token is no cookie."""
    cookie = register(client).headers["Set-Cookie"].split(";")[0].removeprefix("waymark=")
    other = client.application.test_client(use_cookies=False)

    assert other.get("/users/me", headers={"Authorization": f"Bearer {cookie}"}).status_code == 401
    assert other.get("/users/me", headers={"Cookie": f"waymark={player.access_token}"}).status_code == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_write_from_another_site_is_403_and_changes_nothing(client: Any, site: str) -> None:
    register(client)
    foreign = {"Sec-Fetch-Site": site, "Origin": OWN}

    assert client.post("/api/organizations", json={"name": "Org"}, headers=foreign).status_code == 403
    assert client.post("/session", json=ADA, headers=foreign).status_code == 403, "log in as the attacker"
    assert client.delete("/session", headers=foreign).status_code == 403
    assert client.get("/api/organizations", headers=foreign).json["items"] == []


def test_write_without_any_header_of_a_browser_is_403(client: Any) -> None:
    register(client)

    assert client.post("/api/organizations", json={"name": "Org"}).status_code == 403
    assert client.post("/api/organizations", json={"name": "Org"}, headers={"Origin": OWN}).status_code == 201


def test_origin_of_public_url_may_write(serve: Callable[..., Any]) -> None:
    """Behind a proxy that rewrites Host, on plain http."""
    client = serve(PUBLIC_URL="https://way.example")
    register(client)

    refused = client.post("/api/organizations", json={"name": "Org"}, headers={"Origin": "https://evil.example"})
    allowed = client.post("/api/organizations", json={"name": "Org"}, headers={"Origin": "https://way.example"})
    assert (refused.status_code, allowed.status_code) == (403, 201)


@pytest.mark.parametrize("end", ["sign out", "password", "deletion", "expiry"])
def test_cookie_is_rejected_after_its_session_ended(client: Any, end: str) -> None:
    cookie = {"Cookie": register(client).headers["Set-Cookie"].split(";")[0]}
    copy = client.application.test_client(use_cookies=False)
    other = client.application.test_client()
    assert other.post("/session", json=ADA, headers=SAME).status_code == 201
    assert copy.get("/users/me", headers=cookie).status_code == 200

    if end == "sign out":
        assert client.delete("/session", headers=SAME).status_code == 204
    elif end == "password":
        changed = {"current_password": PASSWORD, "new_password": "another good password"}
        assert other.post("/users/me/password", json=changed, headers=SAME).status_code == 204
    elif end == "deletion":
        assert other.delete("/users/me", json={"current_password": PASSWORD}, headers=SAME).status_code in (202, 204)

    if end == "expiry":
        with time_machine.travel("2099-01-01"):
            assert copy.get("/users/me", headers=cookie).status_code == 401
    else:
        assert copy.get("/users/me", headers=cookie).status_code == 401


def test_page_view_renews_cookie_and_session_once_a_day(client: Any, conn: Conn) -> None:
    register(client)
    assert "Set-Cookie" not in client.get("/account").headers

    with time_machine.travel(datetime.now(UTC) + timedelta(days=2)):
        renewed = client.get("/account")
        assert renewed.headers["Set-Cookie"].startswith("waymark=")
        assert "Set-Cookie" not in client.get("/account").headers
        assert "Set-Cookie" not in client.get("/users/me").headers
    row = conn.execute("SELECT expires_at > now() + interval '29 days' FROM sessions").fetchone()
    assert row == (True,)


def test_sign_out_clears_the_cookie_also_without_a_session(client: Any) -> None:
    response = client.delete("/session", headers=SAME)

    assert response.status_code == 204
    assert response.headers["Clear-Site-Data"] == '"cache"'
    assert sorted(cookie.split("=")[0] for cookie in response.headers.getlist("Set-Cookie")) == [
        "__Host-waymark",
        "waymark",
        "waymark_player",
    ]
    assert client.get("/session").status_code == 401


def test_cookie_opens_no_socket(client: Any) -> None:
    player_id = register(client).json["player_id"]
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}

    assert client.get(f"/ws/{player_id}", headers=SAME | upgrade).status_code == 401
    assert client.post("/ws/ticket", headers=SAME).status_code == 201


def test_parallel_requests_do_not_end_the_session(client: Any) -> None:
    cookie = {"Cookie": register(client).headers["Set-Cookie"].split(";")[0]}
    app = client.application

    statuses = run_concurrently(
        [lambda: app.test_client(use_cookies=False).get("/users/me", headers=cookie).status_code] * 20
    )

    assert set(statuses) == {200}


class TestTransfer:
    @pytest.fixture
    def secret(self, client: Any) -> str:
        register(client)
        created = client.post("/session/transfers", headers=SAME)
        assert created.status_code == 201
        assert created.json["expires_in"] == 120
        assert created.json["qr_svg"].startswith("<svg")
        path, _, secret = created.json["transfer_url"].partition("#")
        assert (path, len(secret)) == ("/continue", 43)
        return str(secret)

    def test_another_device_continues_once(self, client: Any, secret: str) -> None:
        device, thief = client.application.test_client(), client.application.test_client()
        preview = device.post("/session/transfers/preview", json={"secret": secret}, headers=SAME)
        assert preview.json == {"username": "ada"}

        accepted = device.post("/session/transfers/accept", json={"secret": secret}, headers=SAME)

        assert (accepted.status_code, accepted.json["username"]) == (201, "ada")
        assert device.get("/session").json["player_id"] == client.get("/session").json["player_id"]
        again = thief.post("/session/transfers/accept", json={"secret": secret}, headers=SAME)
        assert (again.status_code, "Set-Cookie" in again.headers) == (410, False)
        assert thief.post("/session/transfers/preview", json={"secret": secret}, headers=SAME).status_code == 410

    def test_of_concurrent_devices_one_continues(self, client: Any, secret: str) -> None:
        app = client.application

        def accept() -> int:
            request = app.test_client().post("/session/transfers/accept", json={"secret": secret}, headers=SAME)
            return int(request.status_code)

        assert sorted(run_concurrently([accept] * 5)) == [201, 410, 410, 410, 410]

    def test_transfer_ends_with_its_session(self, client: Any, secret: str) -> None:
        client.delete("/session", headers=SAME)

        response = client.post("/session/transfers/accept", json={"secret": secret}, headers=SAME)

        assert response.status_code == 410

    def test_password_change_revokes_a_session_that_continues_meanwhile(self, client: Any, conn: Conn) -> None:
        player_id = register(client).json["player_id"]
        changed = {"current_password": PASSWORD, "new_password": "another good password"}
        with ThreadPoolExecutor(1) as threads:
            with db.transaction() as own:
                store.lock_account(own, player_id)
                sessions.create_session(own, uuid7(), player_id, ttl=timedelta(days=1))
                change = threads.submit(
                    lambda: client.post("/users/me/password", json=changed, headers=SAME).status_code
                )
                wait_until_blocked(conn)
            assert change.result(20) == 204
        assert conn.execute("SELECT count(*) FROM sessions WHERE revoked_at IS NULL").fetchone() == (1,)

    @pytest.mark.parametrize("locked", [True, False], ids=["with the lock", "negative control"])
    def test_transfer_finds_the_end_of_its_session(
        self, client: Any, conn: Conn, secret: str, monkeypatch: pytest.MonkeyPatch, locked: bool
    ) -> None:
        player_id = client.get("/session").json["player_id"]
        device = client.application.test_client()
        body = {"secret": secret}
        if not locked:
            monkeypatch.setattr(store, "lock_account", store.get_account)
        with ThreadPoolExecutor(1) as threads:
            with db.transaction() as own:
                own.execute("SELECT FROM players WHERE id = %s FOR NO KEY UPDATE", (player_id,))
                sessions.revoke_sessions(own, player_id, "password")
                accepted = threads.submit(
                    lambda: device.post("/session/transfers/accept", json=body, headers=SAME).status_code
                )
                if locked:
                    wait_until_blocked(conn)
                else:
                    assert accepted.result(20) == 201
            assert accepted.result(20) == (410 if locked else 201)

    def test_secret_is_not_stored(self, secret: str) -> None:
        redis: Any = redis_client()
        keys = [key for key in redis.keys("*") if b"transfer" in key]
        assert keys
        assert all(secret.encode() not in key + redis.get(key) for key in keys)
        assert 0 < redis.ttl(keys[0]) <= 120


def test_without_pages_there_are_no_sessions_and_cookies_are_ignored(serve: Callable[..., Any], conn: Conn) -> None:
    client = serve()
    cookie = {"Cookie": register(client).headers["Set-Cookie"].split(";")[0]}
    api = serve(PAGES="false")

    assert api.post("/session", json=ADA, headers=SAME).status_code == 404
    assert api.get("/users/me", headers=cookie).status_code == 401
    assert api.get("/sign-in").status_code == 404
