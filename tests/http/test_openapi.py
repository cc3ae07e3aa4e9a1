"""The service matches its OpenAPI document, and the documentation page loads its own files only."""

import re
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    missing_required_header,
    positive_data_acceptance,
    status_code_conformance,
)

from shared.imports import store as imports
from shared.infra import db
from shared.quests import grpc_channel
from shared.settings import settings as waymark
from tests.conftest import Player
from tests.renders.factories import add_render, make_render
from tests.security.route_permissions import PERMISSIONS
from tests.support.callers import make_key, make_staff
from tests.support.factories import make_code, make_encounter, make_held_scan
from web.app import create_app
from web.http.auth import requirement_of
from web.http.openapi import specification
from workers.catalog_server import make_server

service = create_app()
runs_long = settings().max_examples >= settings.get_profile("long").max_examples
# The coverage phase tries every limit of every property, which tests/http/test_malformed_requests.py does as well.
config = SchemathesisConfig.from_dict({"phases": {"coverage": {"enabled": runs_long}}})
document = schemathesis.openapi.from_wsgi("/openapi.json", service, config=config)
schema = document.exclude(path_regex="^/ws/.*id}$")  # no plain HTTP


def unsuitable_checks(case: Case[Any]) -> list[Any]:
    """Return the checks of what JSON Schema cannot express.

    Contradictory fields, invented cursors and reused keys are rejected. Of /qr/generate, GET is the code "generate".
    A write to /session* without an origin is 403, whether or not it has credentials.
    """
    unsuitable: list[Any] = [positive_data_acceptance]
    if case.path == "/qr/generate":
        unsuitable.append(allow_header_conformance)
    if case.path.startswith("/session"):
        unsuitable.append(missing_required_header)
    return unsuitable


@pytest.fixture(scope="module", autouse=True)
def quest_catalog() -> Iterator[None]:
    """Start a catalog server, so that routes which need it do not return 503."""
    server, _, port = make_server("127.0.0.1:0")
    server.start()
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("GRPC_SERVER_URL", f"127.0.0.1:{port}")
        waymark.cache_clear()
        grpc_channel.stub.reset()
        yield
    waymark.cache_clear()
    grpc_channel.stub.reset()
    server.stop(None).wait()


@pytest.fixture
def owner(client: Any, player: Player) -> dict[str, str]:
    """Return ids of existing objects of a player, for the parameters of paths."""
    org = client.post("/api/organizations", json={"name": "Org"}, headers=player.headers).json["id"]
    code = client.post(
        f"/api/organizations/{org}/qr-codes", json={"scan_type": "item_drop"}, headers=player.headers
    ).json["id"]
    puzzle = {"scan_type": "encounter", "encounter": {"puzzle_type": "pattern", "difficulty_level": 1}}
    encounter = client.post(f"/api/organizations/{org}/qr-codes", json=puzzle, headers=player.headers).json["encounter"]
    scan = client.post("/scan", json={"player_id": str(player.id), "qr_code": "x"}, headers=player.headers)
    with db.connection() as conn:
        render = make_render(conn, UUID(org), UUID(code))
    generated = client.post("/generate", json={"data": "https://example.com"}, headers=player.headers).json["qr_id"]
    imported = client.post(f"/api/organizations/{org}/qr-codes/bulk", json={"codes": []}, headers=player.headers)
    key = client.post(
        f"/api/organizations/{org}/api-keys", json={"name": "Kiosk", "scopes": ["scan"]}, headers=player.headers
    )
    with db.connection() as conn:
        held = str(make_held_scan(conn, player.id, code))
    return {
        "org_id": org,
        "import_id": imported.json["id"],
        "qr_id": code,
        "player_id": str(player.id),
        "encounter_id": encounter["id"],
        "scan_id": scan.json["scan_id"],
        "held_id": held,
        "generated_id": generated,
        "render_id": str(render),
        "key_id": key.json["id"],
        # Percent-encoded, an invented name is longer than the schema allows.
        "item": "coffee",
    }


def examples(n: int) -> Callable[[Any], Any]:
    allowed = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=n, deadline=None, suppress_health_check=allowed)


@schema.parametrize()
@examples(8)
def test_responses_match_the_document(case: Case[Any], owner: dict[str, str], player: Player) -> None:
    """Each request is sent without and with credentials. Valid requests with them use ids of existing objects."""
    unsuitable = unsuitable_checks(case)
    # The checks do not decompress responses.
    case.headers["Accept-Encoding"] = "identity"
    case.call_and_validate(excluded_checks=unsuitable)

    case.headers.pop("Prefer", None)  # no worker judges the scans
    if case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE:
        named = owner
        if case.path.startswith("/retrieve/"):
            named = owner | {"qr_id": owner["generated_id"]}
        if case.path.startswith("/api/"):
            named = owner | {"scan_id": owner["held_id"]}
        case.path_parameters = {name: named.get(name, value) for name, value in case.path_parameters.items()}
        if isinstance(case.body, dict) and "player_id" in case.body:
            case.body["player_id"] = str(player.id)
    try:
        case.call_and_validate(headers=player.headers, excluded_checks=unsuitable)
    except FailureGroup as found:
        if not all(is_harmless(failure) or has_blanks_around_number(case, failure) for failure in found.exceptions):
            raise


BROKEN_RULE = re.compile(r"^(?: +- |Invalid component: in (?!body$))(.+)$", re.MULTILINE)
HARMLESS = re.compile(
    r"query: violates `additionalProperties`|header: violates .*Authorization"
    r"|(?:body\W+)?violates .* at /properties/scans/items"
)


def is_harmless(failure: Exception) -> bool:
    """Return whether the service was right to accept a request that violates the schema.

    Harmless are an unused query parameter (`?v=2` of an image), credentials that the test replaced, and a malformed
    scan of a batch, which is refused alone.
    """
    broken = BROKEN_RULE.findall(getattr(failure, "message", ""))
    return bool(broken) and all(map(HARMLESS.match, broken))


def has_blanks_around_number(case: Case[Any], failure: Exception) -> bool:
    """Return whether a number in the query string has white space around it, which the service leaves out."""
    names = re.findall(r"parameter `(\w+)` in query - violates `type`", getattr(failure, "message", ""))
    return bool(names) and all(str((case.query or {}).get(name)).strip().isdecimal() for name in names)


OUTSIDERS = ("the owner of another organization", "an API key of another organization")
REFUSED = {401, 403, 404, 405}  # also methods that there are not
FIRST_READ = REFUSED | {400, 413, 415, 422}
"""Without an organization in the path, a request may be validated before its owner is known."""
READ_FIRST = {"/api/organizations/{org_id}/renders/{render_id}/download"}  # a signed link needs no account


@pytest.fixture
def other_organization(app: Any) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Return ids of one organization, inserted into PostgreSQL, and the credentials of another."""
    with db.connection() as conn:
        staff, others = make_staff(app, conn), make_staff(app, conn)
        code = make_code(conn, staff.org_id)
        puzzle = make_encounter(conn, make_code(conn, staff.org_id, scan_type="encounter"))
        machine, stranger = make_key(conn, staff.org_id), make_key(conn, others.org_id)
        ids = {
            "org_id": staff.org_id,
            "import_id": imports.create(conn, staff.org_id, partial=False).id,
            "qr_id": code,
            "player_id": staff.member.id,
            "encounter_id": puzzle,
            "scan_id": make_held_scan(conn, staff.member.id, code),
            "render_id": add_render(conn, staff.org_id, [code]),
            "key_id": machine.id,
        }
    credentials = dict(zip(OUTSIDERS, (others.owner.headers, stranger.headers), strict=True))
    return {name: str(value) for name, value in ids.items()}, credentials


@schema.include(path_regex="_id}").exclude(path_regex="^/retrieve/").parametrize()
@examples(2)
def test_credentials_of_another_organization_are_rejected(
    case: Case[Any], other_organization: tuple[dict[str, str], dict[str, dict[str, str]]]
) -> None:
    """For valid and invalid requests."""
    case.headers.pop("Prefer", None)  # no worker judges the scans
    ids, credentials = other_organization
    case.path_parameters = {name: ids.get(name, value) for name, value in case.path_parameters.items()}
    for whose, headers in credentials.items():
        response = case.call(headers=headers)
        if case.method.upper() == "OPTIONS":
            continue
        case.validate_response(response, checks=[not_a_server_error, status_code_conformance])
        allowed = FIRST_READ if case.path in READ_FIRST or "org_id" not in case.path_parameters else REFUSED
        assert response.status_code in allowed, f"{whose}: {response.status_code} for {case.method} {case.path}"


UNDOCUMENTED = ("accounts_pages.", "assets.", "docs", "home.", "play.", "pwa.", "staff.")


def test_every_route_is_in_the_document() -> None:
    paths = specification(service)["paths"]
    for rule in service.url_map.iter_rules():
        if rule.endpoint.startswith(UNDOCUMENTED) or rule.rule == "/openapi.json":
            continue
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert method.lower() in paths[path], f"{method} {path}"


def test_every_operation_documents_the_scope_of_a_key() -> None:
    paths = specification(service)["paths"]
    for name, permission in PERMISSIONS.items():
        method, path = name.split(" ")
        operation = paths.get(path, {}).get(method.lower(), {})
        assert operation.get("x-scope") == permission.scope, name
        scopes = [each["key"] for each in operation.get("security", ()) if "key" in each]
        assert scopes == ([[permission.scope]] if permission.scope else []), name


def test_every_route_has_a_requirement() -> None:
    for view in service.view_functions.values():
        requirement_of(view)


def test_route_without_a_requirement_is_500() -> None:
    app = create_app()
    app.add_url_rule("/forgotten", view_func=lambda: "secret")
    assert app.test_client().get("/forgotten").status_code == 500


def test_version_of_the_document_is_3_1(client: Any) -> None:
    assert client.get("/openapi.json").json["openapi"] == "3.1.0"


def test_page_loads_own_files_only_and_runs_no_inline_script(client: Any) -> None:
    page = client.get("/docs")
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    assert all(link.startswith("/docs/") for link in links)
    assert not re.search(r"<script>|<script [^>]*>[^<]|\son\w+=", page.text)
    for link in links:
        assert client.get(link).status_code == 200


def test_asset_path_cannot_leave_its_folder(client: Any) -> None:
    for name in ("..%2f__init__.py", "%2e%2e/__init__.py", "../../../etc/passwd", "nothing.js"):
        assert client.get(f"/docs/{name}").status_code == 404
