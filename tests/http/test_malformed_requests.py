"""Malformed requests: each gets its status and a problem that names the field, never before authentication."""

import json
from typing import Any

import pytest
from flask import Flask
from gunicorn.http.errors import ChunkMissingTerminator, InvalidChunkSize

from shared.infra import db
from tests.support.callers import SignedInPlayer, Staff, make_staff
from tests.support.factories import make_code

AN_ID = "0197a6b0-0000-7000-8000-000000000000"
REGISTER = ("POST", "/auth/register", {"username": "grace", "password": "correct horse"})
LOGIN = ("POST", "/auth/login", {"username": "grace", "password": "correct horse"})
PROFILE = ("PATCH", "/users/me", {"timezone": "Europe/Amsterdam"})
UPGRADE = ("POST", "/auth/upgrade", {"username": "grace", "password": "correct horse"})
RENAME = ("PATCH", "/users/me", {"username": "grace"})
PASSWORD = ("POST", "/users/me/password", {"current_password": "correct horse", "new_password": "battery staple"})
ERASE = ("DELETE", "/users/me", {"current_password": "correct horse"})
FOUND = ("POST", "/api/organizations", {"name": "Museum"})
ORGANIZATION = ("PATCH", "{org}", {"name": "Museum"})
JOIN = ("POST", "{org}/members", {"username": "grace", "role": "member"})
INVITE = ("POST", "{org}/invitations", {"role": "member"})
MEMBER = ("PATCH", "{org}/members/{player_id}", {"role": "admin"})
KEY = ("POST", "{org}/api-keys", {"name": "Kiosk", "scopes": ["scan"]})
MAKE = ("POST", "{org}/qr-codes", {"scan_type": "item_drop"})
GENERATE = ("POST", "/generate", {"data": "https://example.com"})
RENDER = ("POST", "{org}/renders", {"tag": "east"})
CHANGE = ("PATCH", "{org}/qr-codes/{qr_id}", {"description": "Moved"})
SOLVE = ("POST", f"/encounters/{AN_ID}/solve", {"answer": "open sesame"})
SIMULATE = ("POST", "{org}/scans/simulate", {"player_id": AN_ID, "qr_code": "spy123"})
CUSTOMIZE = ("PUT", "{org}/qr-codes/{qr_id}/customization", {"style": "dots"})

Route = tuple[str, str, dict[str, Any]]
OPEN: list[Route] = [REGISTER, LOGIN]
SIGNED_IN: list[Route] = [PROFILE, UPGRADE, RENAME, PASSWORD, ERASE, FOUND, GENERATE, SOLVE]
OF_STAFF: list[Route] = [ORGANIZATION, JOIN, INVITE, MEMBER, KEY, MAKE, RENDER, CHANGE, CUSTOMIZE, SIMULATE]
ROUTES = OPEN + SIGNED_IN + OF_STAFF
JSON_TYPE = "application/json"


class Caller:
    """Sends a route's request as the owner of an organization that has a member and a code."""

    def __init__(self, client: Any, staff: Staff, qr_id: object) -> None:
        self.client, self.staff = client, staff
        self._places = {"org": staff.path, "player_id": staff.member.id, "qr_id": qr_id}

    def send(
        self, route: Route, data: bytes | str, content_type: str = JSON_TYPE, by: SignedInPlayer | None = None
    ) -> Any:
        method, path, _body = route
        headers = (by or self.staff.owner).headers
        path = path.format(**self._places)
        return self.client.open(path, method=method, data=data, content_type=content_type, headers=headers)

    def body(self, route: Route, body: Any) -> Any:
        return self.send(route, json.dumps(body))


@pytest.fixture(scope="module")
def caller(app: Flask) -> Caller:
    """Return one caller for all tests: every request is rejected, so nothing changes."""
    with db.connection() as conn:
        staff = make_staff(app, conn)
        return Caller(app.test_client(), staff, make_code(conn, staff.org_id))


def assert_problem(answer: Any, status: int, loc: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    problem = answer.json
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(problem)
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["X-Request-ID"]
    if loc is not None:
        assert loc in [fault["loc"] for fault in problem["errors"]]


def name(route: Route) -> str:
    return f"{route[0]} {route[1]}"


@pytest.mark.parametrize("route", ROUTES, ids=name)
class TestEveryBody:
    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b'"text"',
            b'"{\\"scan_type\\": \\"item_drop\\"}"',
            b"{} {}",
            b'{"name": \xff}',
            b'\xef\xbb\xbf{"name": "a"}',
            b"[" * 15_000,
            b'{"name": ' + b"9" * 5_000 + b"}",
        ],
        ids=lambda data: repr(data[:20]),
    )
    def test_body_other_than_a_json_object_is_422(self, caller: Caller, route: Route, data: bytes) -> None:
        assert_problem(caller.send(route, data), 422, "body")

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400"])
    def test_nan_and_infinity_are_422(self, caller: Caller, route: Route, number: str) -> None:
        assert_problem(caller.send(route, f'{{"description": {number}}}'), 422, "body")

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "text/csv", ""])
    def test_other_content_type_is_415(self, caller: Caller, route: Route, content_type: str) -> None:
        if (route[1], content_type) == ("/auth/login", "application/x-www-form-urlencoded"):
            pytest.skip("a form logs in, as clients of OAuth 2 send it")
        assert_problem(caller.send(route, json.dumps(route[2]), content_type), 415)

    def test_body_over_its_limit_is_413(self, caller: Caller, route: Route) -> None:
        """The limit is 1 MiB, and 10 MiB for routes that accept many ids."""
        limit = (10 if route is RENDER else 1) * 2**20
        assert_problem(caller.body(route, route[2] | {"description": "a" * limit}), 413)

    @pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "\udfff\ud800"], ids=ascii)
    def test_text_that_postgresql_cannot_store_is_422(self, caller: Caller, route: Route, text: str) -> None:
        field = next(iter(route[2]))
        assert_problem(caller.body(route, route[2] | {field: text}), 422, f"body.{field}")

    def test_unknown_field_is_named(self, caller: Caller, route: Route) -> None:
        assert_problem(caller.body(route, route[2] | {"nmae": "Museum"}), 422, "body.nmae")

    @pytest.mark.parametrize("value", [1, True, [], {}, [["a"]]], ids=repr)
    def test_wrong_type_is_named(self, caller: Caller, route: Route, value: Any) -> None:
        field = next(iter(route[2]))
        assert_problem(caller.body(route, route[2] | {field: value}), 422, f"body.{field}")


@pytest.mark.parametrize(
    ("route", "field"),
    [
        (route, field)
        for route in (REGISTER, LOGIN, UPGRADE, PASSWORD, FOUND, GENERATE, SOLVE, JOIN, MEMBER, KEY, MAKE)
        for field in route[2]
    ],
    ids=lambda value: value if isinstance(value, str) else name(value),
)
def test_missing_field_is_named(caller: Caller, route: Route, field: str) -> None:
    body = {other: value for other, value in route[2].items() if other != field}
    assert_problem(caller.body(route, body), 422, f"body.{field}")


WRONG: list[tuple[Route, str, list[Any]]] = [
    (REGISTER, "username", ["ab", "a" * 33, "ada lovelace", "ada@b", "ädä", "ada\n", "", None]),
    (REGISTER, "password", ["a" * 7, "a" * 257, None]),
    (REGISTER, "email", ["ada", "a@b@c", "a" * 255 + "@b.c", "ada@b.c\r\nBcc: x@y.z", 1]),
    (LOGIN, "password", ["a" * 257]),
    (PROFILE, "timezone", ["", "Amsterdam", "europe/amsterdam", "../UTC", "UTC\n", "+01:00", "a" * 10_000, None]),
    (RENAME, "username", ["ab", "a" * 33, "ada lovelace", "", None]),
    (RENAME, "email", ["ada", "", 1]),
    (UPGRADE, "username", ["ab", "a" * 33, "ädä", None]),
    (UPGRADE, "password", ["a" * 7, "a" * 257, None]),
    (PASSWORD, "current_password", ["a" * 257, None]),
    (ERASE, "current_password", ["a" * 257]),
    (PASSWORD, "new_password", ["a" * 7, "a" * 257, None]),
    (FOUND, "name", ["", " ", "a" * 201, "a\nb", "\x1b[31mred", None]),
    (FOUND, "slug", ["", "A", "a--b", "-a", "a-", "a b", "a/b", "a" * 65, "../a", "a\n"]),
    (FOUND, "url", ["", "javascript:alert(1)", "//evil.com", "\\evil", "https://u:p@evil.com", "https://a\r\nb", 1]),
    (ORGANIZATION, "name", [None, ""]),
    (ORGANIZATION, "slug", [None, "A B"]),
    (ORGANIZATION, "url", ["javascript:alert(1)"]),
    (SIMULATE, "player_id", ["me", None, 5]),
    (SIMULATE, "qr_code", ["", "a" * 2_049, None]),
    (SIMULATE, "accuracy", [-1, "5"]),
    (ORGANIZATION, "fair_play", ["on", []]),
    (SOLVE, "answer", ["", "a" * 1_001, 42, None]),
    (JOIN, "role", ["boss", "Owner", "", None]),
    (MEMBER, "role", ["boss", None]),
    (MAKE, "code", ["ab", "a" * 65, "a b c", "a/b", "é" * 5, "abc\n", "", 123]),
    (MAKE, "description", ["a" * 2_001, None]),
    (MAKE, "scan_type", ["item", "ITEM_DROP", ""]),
    (MAKE, "requires_location", ["true", 1, 0, None]),
    (MAKE, "latitude", [90.1, -90.1, "52.37", True, [], 10**400]),
    (MAKE, "longitude", [180.1, -180.1, "4.90"]),
    (MAKE, "radius_m", [4.99, 50_000.1, 0, -5, "50", None]),
    (MAKE, "reward", ["gem", []]),
    (MAKE, "reward.item", [{"item": "", "quantity": 1}, {"item": "a" * 101, "quantity": 1}, {"quantity": 1}]),
    (
        MAKE,
        "reward.quantity",
        [{"item": "gem", "quantity": quantity} for quantity in (0, -1, 1_000_001, 1.5, "1", True)],
    ),
    (MAKE, "encounter.puzzle_type", [{"puzzle_type": "chess", "difficulty_level": 1}, {"difficulty_level": 1}]),
    (
        MAKE,
        "encounter.difficulty_level",
        [{"puzzle_type": "hacking", "difficulty_level": n} for n in (0, 11, 5.5, "5")],
    ),
    (MAKE, "encounter.data", [{"puzzle_type": "hacking", "difficulty_level": 1, "data": "none"}]),
    (MAKE, "encounter.solution", [{"puzzle_type": "hacking", "difficulty_level": 1, "solution": s} for s in ("", 5)]),
    (MAKE, "encounter.max_attempts", [{"puzzle_type": "hacking", "difficulty_level": 1, "max_attempts": 0}]),
    (MAKE, "encounter.id", [{"puzzle_type": "hacking", "difficulty_level": 1, "id": AN_ID}]),
    (MAKE, "destination_code", ["a b", "nowhere", 5]),
    (MAKE, "target_url", ["javascript:alert(1)", "//evil", "\\evil", "ftp://a.b", "https://a.b/" + "c" * 2_048]),
    (MAKE, "active", ["yes", 1]),
    (MAKE, "starts_at", ["2026-02-30T10:00:00Z", "2026-02-12", "2026-02-12T10:00:00", "now", 1770890400, ""]),
    (MAKE, "expires_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-12T10:00:00+99:00"]),
    (MAKE, "max_scans", [0, -1, 10**12 + 1, 1.5, "1"]),
    (MAKE, "per_player_limit", [0, 2**31, 1.5, True]),
    (MAKE, "cooldown_seconds", [-1, 2**31, "60"]),
    (MAKE, "rotating", ["false"]),
    (MAKE, "tags", ["east", ["a"] * 51]),
    (MAKE, "tags.1", [["a", ""], ["a", "a|b"], ["a", "b" * 65], ["a", 1], ["a", None], ["a", "b\tc"], ["a", "\x00"]]),
    (CHANGE, "latitude", [91, "52"]),
    (CHANGE, "code", [None, "a b"]),
    (CHANGE, "target_url", ["javascript:alert(1)"]),
]


@pytest.mark.parametrize(
    ("route", "field", "value"),
    [(route, field, value) for route, field, values in WRONG for value in values],
    ids=lambda value: name(value) if isinstance(value, tuple) else ascii(value)[:40],
)
def test_wrong_field_is_named(caller: Caller, route: Route, field: str, value: Any) -> None:
    answer = caller.body(route, route[2] | {field.partition(".")[0]: value})

    assert_problem(answer, 422, f"body.{field}")


@pytest.mark.parametrize("depth", [62, 63, 400, 5_000])
def test_deeply_nested_json_is_422(caller: Caller, depth: int) -> None:
    """Objects and arrays. `body.encounter.data` is at depth two itself."""
    for opening, closing in (('{"a":', "}"), ("[", "]")):
        data = '{"a":' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}"
        puzzle = f'{{"puzzle_type": "chess", "difficulty_level": 1, "data": {data}}}'
        answer = caller.send(MAKE, f'{{"scan_type": "encounter", "encounter": {puzzle}}}')
        assert answer.status_code == 422
        assert ("nested" in answer.text) is (depth > 62)


@pytest.mark.parametrize("path", ["/api/organizations", "{org}/members", "{org}/qr-codes"])
@pytest.mark.parametrize(
    ("field", "value"),
    [("limit", value) for value in ("0", "201", "-1", "ten", "", "1e2", "9" * 5_000)]
    + [("cursor", value) for value in ("x", "", "%00", "W10", "bnVsbA", "a" * 501)],
    ids=lambda value: value[:20],
)
def test_wrong_list_item_is_named_by_index(caller: Caller, path: str, field: str, value: str) -> None:
    answer = caller.client.get(
        f"{path.format(org=caller.staff.path)}?{field}={value}", headers=caller.staff.member.headers
    )

    assert_problem(answer, 422, f"query.{field}")


@pytest.mark.parametrize(
    ("field", "value"),
    [("q", "%00"), ("q", "a" * 201), ("tag", "%00"), ("tag", "a" * 65), ("scan_type", "x"), ("active", "maybe")],
)
def test_wrong_query_parameter_is_named(caller: Caller, field: str, value: str) -> None:
    answer = caller.client.get(f"{caller.staff.codes}?{field}={value}", headers=caller.staff.member.headers)

    assert_problem(answer, 422, f"query.{field}")


MALFORMED_IDS = ["1", "none", "0" * 32, "{" + AN_ID + "}", AN_ID + "0", "%00", "'--", "\u0661" * 8]


@pytest.mark.parametrize("wrong", MALFORMED_IDS, ids=ascii)
@pytest.mark.parametrize(
    "path",
    ["/api/organizations/{id}", "/api/organizations/{id}/qr-codes", "{org}/qr-codes/{id}", "{org}/members/{id}"],
)
def test_malformed_id_is_404_after_authentication(caller: Caller, path: str, wrong: str) -> None:
    """401 without credentials, else 404."""
    path = path.format(id=wrong, org=caller.staff.path)
    method = "DELETE" if "/members/" in path else "GET"

    assert_problem(caller.client.open(path, method=method), 401)
    assert_problem(caller.client.open(path, method=method, headers=caller.staff.owner.headers), 404)


@pytest.mark.parametrize("route", SIGNED_IN + OF_STAFF, ids=name)
@pytest.mark.parametrize(
    ("data", "content_type"),
    [("{", JSON_TYPE), ("{}", "text/plain"), ("a" * 2**21, JSON_TYPE)],
    ids=["broken", "text", "too large"],
)
def test_authentication_comes_before_validation(caller: Caller, route: Route, data: str, content_type: str) -> None:
    path = route[1].format(org=caller.staff.path, player_id=1, qr_id=1)
    assert_problem(caller.client.open(path, method=route[0], data=data, content_type=content_type), 401)


@pytest.mark.parametrize("route", OF_STAFF, ids=name)
@pytest.mark.parametrize(("data", "content_type"), [("{", JSON_TYPE), ("{}", "text/plain")])
def test_permission_comes_before_validation(caller: Caller, route: Route, data: str, content_type: str) -> None:
    assert_problem(caller.send(route, data, content_type, by=caller.staff.stranger), 403)


class Cut:
    """A chunked body that gunicorn cannot parse."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self, _size: int = -1) -> bytes:
        raise self.error


@pytest.mark.parametrize("error", [InvalidChunkSize("zz"), ChunkMissingTerminator(b"")], ids=repr)
def test_wrongly_framed_body_is_400(caller: Caller, error: Exception) -> None:
    answer = caller.client.post(
        "/auth/login",
        headers={"Transfer-Encoding": "chunked", "Content-Type": JSON_TYPE},
        environ_overrides={"wsgi.input": Cut(error), "wsgi.input_terminated": True},
    )
    assert_problem(answer, 400)
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nowhere", 404, "There is no such path."),
        ("PUT", "/scan", 405, "This path does not support the method. The Allow header lists those that it supports."),
        (
            "GET",
            "/ws/0197a6b0-3c1e-7d52-9a4f-2b8c6d1e0f35",
            400,
            "WebSocket handshakes, and only those, go to /ws/{player_id} and /ws/organizations/{org_id}.",
        ),
    ],
)
def test_errors_of_the_framework_have_messages_of_waymark(
    client: Any, method: str, path: str, status: int, detail: str
) -> None:
    response = client.open(path, method=method)

    assert (response.status_code, response.json["detail"]) == (status, detail)
