"""Unknown query parameters are 422 on every route, except on pages that people open from links and printed codes."""

from typing import Any

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.security.role_fixtures import BODIES, NOTHING, World
from tests.security.route_permissions import PERMISSIONS
from tests.security.test_role_matrix import UPGRADE
from tests.support.callers import Staff, bearer

PAGES = {"GET /s/{code}", "GET /b/{slug}", "GET /docs", "GET /invitations/{token}"}
PAGES |= {"GET /b/{slug}/logo", "GET /b/{slug}/brand.css", "GET /sw.js", "GET /app.webmanifest"}
TRACKED = "utm_source=poster&fbclid=abc"


@pytest.fixture
def world(app: Flask, conn: Conn) -> World:
    return World.make(app, conn)


def ask(client: Any, world: World, name: str, query: str) -> Any:
    """Send a request that succeeds without the query, as the owner."""
    method, rule = name.split(" ")
    owner = world.mine.owner
    headers = bearer(owner.refresh_token) if name == "POST /auth/refresh" else owner.headers
    upgrade = UPGRADE if rule.startswith("/ws/") and method == "GET" else {}
    body = BODIES.get(name, NOTHING)(world, owner)
    queries = "&".join(filter(None, (body.pop("query_string", ""), query)))
    return client.open(f"{world.path(rule, owner)}?{queries}", method=method, headers=headers | upgrade, **body)


@pytest.mark.parametrize("name", sorted(PERMISSIONS.keys() - PAGES))
def test_unknown_parameters_are_422_on_every_route(client: Any, world: World, name: str) -> None:
    response = ask(client, world, name, "skip=20&perod=7d")

    assert response.status_code == 422, response.text
    assert [error["loc"] for error in response.json["errors"]] == ["query.skip", "query.perod"]
    assert "This is not a parameter of this route. It takes " in response.json["errors"][0]["message"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_pages_accept_parameters_that_other_services_add(client: Any, world: World, name: str) -> None:
    assert ask(client, world, name, TRACKED).status_code == 200


def test_message_names_the_parameters_of_the_route(client: Any, staff: Staff) -> None:
    timeline = client.get(f"{staff.path}/timeline?perod=7d", headers=staff.analyst.headers)
    stats = client.post("/ws/ticket?since=1", headers=staff.analyst.headers)

    assert timeline.json["detail"] == "query.perod: This is not a parameter of this route. It takes tz, period."
    assert stats.json["detail"] == "query.since: This is not a parameter of this route. It takes none."


def test_credentials_are_checked_first(client: Any, staff: Staff) -> None:
    path = f"{staff.codes}?skip=1"
    assert client.get(path).status_code == 401
    assert client.get(path, headers=staff.stranger.headers).status_code == 403


def test_socket_checks_credentials_before_its_query(client: Any, staff: Staff) -> None:
    path = f"/ws/{staff.owner.id}?sinc=1"
    assert client.get(path, headers=UPGRADE).status_code == 401
    response = client.get(path, headers=UPGRADE | staff.owner.headers)
    assert response.json["detail"] == "query.sinc: This is not a parameter of this route. It takes ticket, since."


def test_each_parameter_is_given_once(client: Any, staff: Staff) -> None:
    response = client.get(f"{staff.codes}?limit=1&limit=2&limits=3", headers=staff.member.headers)

    assert [error["loc"] for error in response.json["errors"]] == ["query.limits", "query.limit"]
