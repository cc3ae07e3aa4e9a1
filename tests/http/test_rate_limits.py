"""Rate limits: what a request counts for, the response headers, and limits without Redis."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import pytest
import redis
import time_machine
from hypothesis import given
from hypothesis import strategies as st
from limits import parse

from script.stack.ports import LOOPBACK
from shared.accounts import passwords
from shared.infra import redis as redises
from shared.infra.ids import uuid7
from shared.settings import Settings, settings
from tests.support.callers import bearer, make_key, make_staff, sign_in
from tests.support.factories import code_text, make_code
from web.app import create_app
from web.http import rate_limit_storage, rate_limits
from web.http.rate_limits import normalize_address

Limited = Callable[..., Any]
GUESS = {"username": "ada", "password": "wrong horse battery"}


def statuses(client: Any, n: int, path: str = "/users/me", **options: Any) -> list[int]:
    return [client.get(path, **options).status_code for _ in range(n)]


def test_headers_report_the_remaining_requests(limited: Limited, conn: Any) -> None:
    client = limited(DEFAULT="2 per minute")
    headers = sign_in(client.application, conn).headers

    first, second, third = (client.get("/users/me", headers=headers) for _ in range(3))

    assert [first.status_code, second.status_code, third.status_code] == [200, 200, 429]
    assert [each.headers["RateLimit-Limit"] for each in (first, second, third)] == ["2", "2", "2"]
    assert [each.headers["RateLimit-Remaining"] for each in (first, second, third)] == ["1", "0", "0"]
    assert all(0 < int(each.headers["RateLimit-Reset"]) <= 60 for each in (first, second, third))
    assert "Retry-After" not in second.headers
    assert third.headers["Retry-After"] == third.headers["RateLimit-Reset"]
    assert third.content_type == "application/problem+json"
    assert third.json["status"] == 429
    assert third.json["request_id"] == third.headers["X-Request-ID"]


def test_each_player_has_a_separate_limit(limited: Limited, conn: Any) -> None:
    client = limited(DEFAULT="1 per minute")
    ada, grace = (sign_in(client.application, conn) for _ in range(2))

    assert statuses(client, 2, headers=ada.headers) == [200, 429]
    assert statuses(client, 2, headers=grace.headers) == [200, 429]
    other_address = {"REMOTE_ADDR": "203.0.113.9"}
    assert statuses(client, 1, headers=ada.headers, environ_base=other_address) == [429]


def test_routes_have_separate_limits(limited: Limited, conn: Any) -> None:
    client = limited(SCAN="1 per minute", DEFAULT="1 per minute", GENERATE="1 per minute")
    ada = sign_in(client.application, conn)
    scan = {"player_id": str(ada.id), "qr_code": "x"}

    assert [client.post("/scan", json=scan, headers=ada.headers).status_code for _ in range(2)] == [202, 429]
    assert statuses(client, 2, headers=ada.headers) == [200, 429]
    made = [client.post("/generate", json={"data": "x"}, headers=ada.headers).status_code for _ in range(2)]
    assert made == [201, 429]


def test_unverified_credentials_count_for_the_address(limited: Limited, conn: Any) -> None:
    """Over the limit, a request does not reach PostgreSQL. Authenticated callers at that address are not affected."""
    client = limited(ANONYMOUS="3 per minute")
    ada = sign_in(client.application, conn)
    refused = [
        *statuses(client, 1),
        *statuses(client, 1, headers=bearer("made up")),
        *statuses(client, 1, headers=bearer(ada.refresh_token)),
        *statuses(client, 2, headers=bearer("made up too")),
    ]

    assert refused == [401, 401, 401, 429, 429]
    assert statuses(client, 1, headers=ada.headers) == [200]
    assert statuses(client, 1, environ_base={"REMOTE_ADDR": "203.0.113.9"}) == [401]


def test_login_guesses_of_one_address_are_rejected_before_hashing(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = limited(LOGIN="2 per minute")
    hashed: list[str] = []
    monkeypatch.setattr(passwords, "verify_password", lambda password, _: hashed.append(password))

    responses = [client.post("/auth/login", json=GUESS | {"username": f"ada{n}"}) for n in range(3)]

    assert [each.status_code for each in responses] == [401, 401, 429]
    assert len(hashed) == 2


@pytest.mark.parametrize("known", [True, False])
def test_login_guesses_for_one_username_are_limited_across_addresses(
    limited: Limited, conn: Any, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """The responses are the same for existing and unknown names, in any letter case."""
    client = limited(LOGIN_PER_USERNAME="2 per minute")
    monkeypatch.setattr(passwords, "verify_password", lambda *_: False)
    if known:
        sign_in(client.application, conn, "ada")

    def guess(name: str, n: int) -> Any:
        return client.post("/auth/login", json=GUESS | {"username": name}, environ_base={"REMOTE_ADDR": f"10.0.0.{n}"})

    responses = [guess(name, n) for n, name in enumerate(("ada", "ADA", "Ada", "ada", "grace"))]

    assert [each.status_code for each in responses] == [401, 401, 429, 429, 401]
    assert {each.json["detail"] for each in responses[:2]} == {responses[4].json["detail"]}


def test_guesses_of_one_address_lock_no_owner_out(limited: Limited, conn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejected guesses do not count for the username. Sessions of the owner continue at any address."""
    client = limited(LOGIN_PER_USERNAME_AND_ADDRESS="2 per minute", LOGIN_PER_USERNAME="4 per minute")
    monkeypatch.setattr(passwords, "verify_password", lambda *_: False)
    ada = sign_in(client.application, conn, "ada")

    def guess(address: str) -> Any:
        return client.post("/auth/login", json=GUESS, environ_base={"REMOTE_ADDR": address})

    responses = [guess("203.0.113.7") for _ in range(6)]
    assert [each.status_code for each in responses] == [401, 401, 429, 429, 429, 429]
    assert responses[-1].json["detail"] == (
        "The limit RATE_LIMIT_LOGIN_PER_USERNAME_AND_ADDRESS (2 per minute) is used up. "
        "Retry after the seconds in Retry-After."
    )
    assert [guess(f"203.0.113.{n}").status_code for n in (8, 9, 10)] == [401, 401, 429]
    here = {"REMOTE_ADDR": "203.0.113.7"}
    assert statuses(client, 1, headers=ada.headers, environ_base=here) == [200]
    assert client.post("/auth/refresh", headers=bearer(ada.refresh_token), environ_base=here).status_code == 200


def test_three_hundred_guests_behind_one_address_can_play(serve: Callable[..., Any], conn: Any) -> None:
    """With the default limits: a school at its first poster. Each opens the page, becomes a guest and scans."""
    client = serve(RATE_LIMITS_ENABLED="true", TRUSTED_PROXIES="0")
    code = code_text(conn, make_code(conn))
    seen = set()
    own_page = {"Sec-Fetch-Site": "same-origin"}
    for _ in range(300):
        phone = client.application.test_client()
        opened, guest = phone.get(f"/s/{code}"), phone.post("/session/guest", headers=own_page)
        scan = {"player_id": guest.json["player_id"], "qr_code": code}
        scanned = phone.post("/scan", json=scan, headers=own_page)
        seen.add((opened.status_code, guest.status_code, scanned.status_code))
    assert seen == {(200, 201, 202)}


def test_guests_of_one_address_are_limited(limited: Limited) -> None:
    client = limited(GUEST="2 per hour")

    responses = [client.post("/auth/guest") for _ in range(3)]

    assert [each.status_code for each in responses] == [201, 201, 429]
    assert responses[2].json["detail"].startswith("The limit RATE_LIMIT_GUEST (2 per hour) is used up.")
    assert client.post("/auth/guest", environ_base={"REMOTE_ADDR": "203.0.113.9"}).status_code == 201


def test_login_without_a_username_counts_for_its_address_only(limited: Limited) -> None:
    client = limited(LOGIN="4 per minute", LOGIN_PER_USERNAME="1 per minute")

    responses = [client.post("/auth/login", data=body, content_type="application/json") for body in ("[]", "{", "{}")]
    responses += [client.post("/auth/login", json=body) for body in ({"username": 7}, {"username": 7})]

    assert [each.status_code for each in responses] == [422, 422, 422, 422, 429]


def test_authenticated_api_key_has_its_own_limit(limited: Limited, conn: Any) -> None:
    """Before, it counts as a guess. Guesses do not count for a valid key."""
    client = limited(ANONYMOUS="2 per minute", API_KEY="3 per minute", SCAN="1 per minute", DEFAULT="1 per minute")
    staff = make_staff(client.application, conn)
    headers = make_key(conn, staff.org_id, "codes:read", "scan").headers
    guess = bearer(f"wm_{'0' * 12}_{'0' * 64}")

    assert statuses(client, 1, staff.codes, headers=headers) == [200]
    assert statuses(client, 2, staff.codes, headers=guess) == [401, 429]
    assert statuses(client, 4, staff.codes, headers=headers) == [200, 200, 200, 429]


def test_refresh_limit_is_per_session(limited: Limited, conn: Any) -> None:
    client = limited(REFRESH="1 per minute")
    stolen, ada = sign_in(client.application, conn), sign_in(client.application, conn)

    assert [client.post("/auth/refresh", headers=bearer(stolen.refresh_token)).status_code for _ in range(2)] == [
        200,
        429,
    ]
    assert client.post("/auth/refresh", headers=bearer(ada.refresh_token)).status_code == 200


@pytest.mark.parametrize(("proxies", "expected"), [(0, [401, 401, 429, 429]), (1, [401, 401, 429, 429])])
def test_rotating_x_forwarded_for_does_not_evade_the_limit(limited: Limited, proxies: int, expected: list[int]) -> None:
    """Without proxies the header is ignored. With one, only the rightmost entry counts."""
    client = limited(ANONYMOUS="2 per minute", proxies=proxies)
    forwarded = [f"198.51.100.{n}, 203.0.113.7" if proxies else f"198.51.100.{n}" for n in range(4)]

    assert [statuses(client, 1, headers={"X-Forwarded-For": each})[0] for each in forwarded] == expected


def test_one_trusted_proxy_separates_its_clients(limited: Limited) -> None:
    client = limited(ANONYMOUS="1 per minute", proxies=1)
    forwarded = ["203.0.113.7", "203.0.113.7", "203.0.113.8"]

    assert [statuses(client, 1, headers={"X-Forwarded-For": each})[0] for each in forwarded] == [401, 429, 401]


def test_two_trusted_proxies_separate_their_clients(limited: Limited) -> None:
    client = limited(ANONYMOUS="1 per minute", proxies=2)
    forwarded = [f"198.51.100.{n}, 203.0.113.7, 10.0.0.{n}" for n in range(2)]

    assert [statuses(client, 1, headers={"X-Forwarded-For": each})[0] for each in forwarded] == [401, 429]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7:51234", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/56"),
        ("2001:db8:1:ff:3:4:5:6", "2001:db8:1::/56"),
        ("[2001:db8:1:102::9]:443", "2001:db8:1:100::/56"),
        ("fe80::1%eth0", "fe80::/56"),
        ("_hidden", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_ipv6_addresses_count_by_their_56_bit_network(address: str | None, counted: str) -> None:
    assert normalize_address(address) == counted


@given(st.text())
def test_normalized_address_is_stable_for_any_text(address: str) -> None:
    assert normalize_address(normalize_address(address).partition("/")[0]) in (normalize_address(address), "unknown")


def test_probes_and_preflights_have_no_limit(limited: Limited) -> None:
    client = limited(DEFAULT="1 per minute")

    for path in ("/healthz", "/metrics"):
        assert statuses(client, 3, path) == [200, 200, 200]
    assert client.options("/users/me").status_code == client.options("/users/me").status_code == 200


def test_sockets_are_limited_before_the_upgrade(limited: Limited) -> None:
    """Tickets have a separate limit: many browsers behind one address reconnect when a process ends.

    Without a ticket, or with an invalid token, a request counts as anonymous.
    """
    client = limited(WEBSOCKET_TICKET="3 per minute", ANONYMOUS="2 per minute")

    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    path = f"/ws/{uuid7()}"
    assert statuses(client, 4, f"{path}?ticket=made-up", headers=upgrade) == [401, 401, 401, 429]
    assert statuses(client, 1, path, headers=upgrade) == [401]
    assert statuses(client, 2, f"{path}?ticket=made-up", headers=upgrade | bearer("made up")) == [401, 429]


def test_a_batch_counts_once_for_each_five_scans(limited: Limited, conn: Any) -> None:
    """Never for more than the limit allows: a full batch passes at the start of a window."""
    client = limited(SCAN="5 per minute", ANONYMOUS="9 per minute")
    ada, bob = sign_in(client.application, conn), sign_in(client.application, conn)

    def submit(n: int, **headers: str) -> tuple[int, int]:
        body = {"sent_at": "2026-02-12T10:00:00Z", "scans": [{}] * n}
        response = client.post("/scans/batch", json=body, headers=headers or ada.headers)
        return response.status_code, int(response.headers["RateLimit-Remaining"])

    assert [submit(n) for n in (11, 0, 5, 1)] == [(202, 2), (202, 1), (202, 0), (429, 0)]
    assert submit(100, **bob.headers) == (202, 0)
    # The body of a caller without credentials is not read.
    assert submit(100, Authorization="Bearer made-up") == (401, 8)
    malformed = client.post("/scans/batch", data="{", content_type="application/json", headers=bob.headers)
    assert malformed.status_code == 429


def test_without_redis_each_process_counts_for_itself(
    limited: Limited, conn: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    client = limited(SCAN="2 per minute")
    ada = sign_in(client.application, conn)
    scan = {"player_id": str(ada.id), "qr_code": "x"}

    responses = [client.post("/scan", json=scan, headers=ada.headers) for _ in range(3)]

    assert [each.status_code for each in responses] == [202, 202, 429]
    assert [each.headers["RateLimit-Remaining"] for each in responses] == ["1", "0", "0"]


def test_silent_redis_is_retried_with_backoff(limited: Limited, conn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent, time_machine.travel(datetime.now(UTC), tick=False) as clock:
        monkeypatch.setenv("REDIS_URL", f"redis://{LOOPBACK}:{silent.getsockname()[1]}/0")
        client = limited(DEFAULT="20 per minute")
        ada = sign_in(client.application, conn)

        assert statuses(client, 10, headers=ada.headers) == [200] * 10
        assert callers(silent) == 1
        clock.shift(2)
        assert statuses(client, 11, headers=ada.headers) == [200] * 10 + [429]
        assert callers(silent) == 1


def callers(server: socket.socket) -> int:
    """Return how many clients have connected since the last call."""
    server.setblocking(False)
    n = 0
    with suppress(BlockingIOError):
        while True:
            server.accept()[0].close()
            n += 1
    return n


def test_redis_counts_again_once_it_is_available(limited: Limited, conn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*_: Any, **__: Any) -> None:
        raise redis.ConnectionError

    with time_machine.travel(datetime.now(UTC), tick=False) as clock:
        client = limited(DEFAULT="3 per minute")
        ada = sign_in(client.application, conn)
        assert statuses(client, 1, headers=ada.headers) == [200]
        with monkeypatch.context() as without_redis:
            without_redis.setattr(redis.Redis, "evalsha", unavailable)
            assert statuses(client, 4, headers=ada.headers) == [200, 200, 200, 429]
        clock.shift(40)  # longer than it ever rests
        with patch.object(rate_limit_storage, "log") as log:
            assert statuses(client, 3, headers=ada.headers) == [200, 200, 429]
        assert [call.args[0] for call in log.info.call_args_list] == ["rate_limit_storage_recovered"]


def test_burst_waits_for_connections_to_redis(monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Any]) -> None:
    """Otherwise a burst would look like an unavailable Redis, and be counted in memory."""
    few = settings().model_copy(update={"redis_connections": 2})
    monkeypatch.setattr(redises, "settings", lambda: few)
    (limiter,) = serve(RATE_LIMITS_ENABLED="true").application.extensions["limiter"]
    pool = limiter.storage._client.connection_pool
    taken, _other = pool.get_connection(), pool.get_connection()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(limiter.storage._client.ping)
        assert not waiting.done()
        pool.release(taken)
        assert waiting.result(20)


def test_long_login_body_is_413_and_counted(limited: Limited) -> None:
    """The body is read for the username before the limit is checked."""
    client = limited(LOGIN="1 per minute")
    long = '{"username": "' + "a" * 20_000 + '"}'

    responses = [client.post("/auth/login", data=long, content_type="application/json") for _ in range(2)]

    assert [each.status_code for each in responses] == [413, 429]


def test_processes_share_their_counters(limited: Limited, conn: Any) -> None:
    client = limited(DEFAULT="2 per minute")
    ada = sign_in(client.application, conn)
    other = create_app().test_client()

    assert statuses(client, 1, headers=ada.headers) + statuses(other, 2, headers=ada.headers) == [200, 200, 429]


def test_counters_have_the_prefix_and_expire(limited: Limited, conn: Any) -> None:
    client = limited()
    statuses(client, 1, headers=sign_in(client.application, conn).headers)

    (counter,) = redises.client().keys("waymark:rate_limits:*")
    assert 0 < redises.client().pttl(counter) <= 60_000


def test_disabled_limits_register_no_limiter(serve: Callable[..., Any]) -> None:
    client = serve(RATE_LIMITS_ENABLED="false")

    assert "limiter" not in client.application.extensions
    assert not any(name.startswith("RateLimit") for name, _ in client.get("/openapi.json").headers)


def test_each_limit_has_routes_and_a_setting(app: Any) -> None:
    assert set(
        rate_limits.LIMIT_BY_ENDPOINT
    ) | rate_limits.PER_USERNAME_ENDPOINTS | rate_limits.UNLIMITED_ENDPOINTS <= set(app.view_functions)
    named = [name for name in Settings.model_fields if name.startswith("rate_limit_")]
    assert {f"rate_limit_{budget}" for budget in rate_limits.LIMIT_BY_ENDPOINT.values()} < set(named)
    for name in named:
        assert parse(Settings.model_fields[name].default).amount > 0
