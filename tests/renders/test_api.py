"""Renders over HTTP: created, polled, downloaded, canceled."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.infra.db import Conn
from shared.infra.message_sender import background_sender
from shared.messages import Message, RenderFilesUnneeded, RendersPending
from shared.renders import code_selection, rules
from shared.renders.label_templates import SOLD_AS, TEMPLATES
from tests.renders.factories import decode_images, find, list_files, make_codes, read_file, read_images, urls, work
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code, make_org
from web.api import renders
from web.api.render_schemas import LabelBody


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    sent: list[Message] = []
    monkeypatch.setattr(background_sender, "submit", sent.append)
    return sent


@pytest.fixture
def post(client: Any, staff: Staff, messages: list[Message]) -> Callable[..., Any]:
    """Create a render as an admin: `post(all=True)`."""

    def send(headers: dict[str, str] | None = None, **body: Any) -> Any:
        return client.post(f"{staff.path}/renders", json=body, headers=staff.admin.headers | (headers or {}))

    return send


@pytest.fixture
def get(client: Any, staff: Staff) -> Callable[..., Any]:
    def fetch(path: str, **headers: str) -> Any:
        dashed = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.get(path, headers=staff.admin.headers | dashed)

    return fetch


def test_a_render_from_creation_to_download(
    conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any], messages: list[Message]
) -> None:
    codes = make_codes(conn, staff.org_id, 3)

    response = post(all=True)

    created = response.json
    render_id = created["render_id"]
    assert response.status_code == 202
    assert response.headers["Location"] == created["status_url"] == f"{staff.path}/renders/{render_id}"
    assert "id" not in created
    assert {"status": "queued", "total": 3, "done": 0, "progress": 0.0, "errors": []}.items() <= created.items()
    assert created["download_url"] is created["expires_at"] is None
    assert messages == [RendersPending()]

    work()

    done = get(created["status_url"]).json
    assert {"status": "done", "done": 3, "failed": 0, "progress": 1.0}.items() <= done.items()
    assert done["expires_at"] > done["finished_at"]
    (listed,) = get(f"{staff.path}/renders").json["items"]
    assert listed | {"download_url": done["download_url"]} == done
    file = get(f"{created['status_url']}/download")
    assert file.data == read_file(conn, UUID(render_id))
    assert len(read_images(file.data)) == len(codes)


# What is selected -----------------------------------------------------------------------------------------------------


def test_qr_ids_keep_their_order(conn: Conn, staff: Staff, post: Callable[..., Any]) -> None:
    names = ["one", "two", "three"]
    codes = [make_code(conn, staff.org_id, code=name) for name in names]

    render_id = UUID(post(qr_ids=[str(codes[n]) for n in (2, 0, 1)]).json["render_id"])
    work()

    assert [text.rpartition("/")[2] for text in decode_images(read_file(conn, render_id))] == ["three", "one", "two"]


def test_a_tag_selects_codes_at_creation(conn: Conn, staff: Staff, post: Callable[..., Any]) -> None:
    """A code that is tagged later is not rendered. A code that is deleted later fails alone."""
    tagged = make_code(conn, staff.org_id, tags=["east"])
    deleted = make_code(conn, staff.org_id, tags=["east", "old"])
    make_code(conn, staff.org_id, tags=["west"])
    make_code(conn, make_org(conn), tags=["east"])

    render_id = UUID(post(tag="east").json["render_id"])
    make_code(conn, staff.org_id, tags=["east"])
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (deleted,))
    work()

    render = find(conn, render_id)
    assert (render.status, render.total, render.done, render.failed) == ("done", 2, 1, 1)
    assert decode_images(read_file(conn, render_id)) == urls(conn, [tagged])


@pytest.mark.parametrize(
    ("body", "loc", "message"),
    [
        ({}, "body", "exactly one of"),
        ({"all": True, "tag": "east"}, "body", "exactly one of"),
        ({"all": False}, "body.all", "true"),
        ({"all": 1}, "body.all", "true"),
        ({"qr_ids": []}, "body.qr_ids", "at least 1"),
        ({"qr_ids": ["x"]}, "body.qr_ids.0", "UUID"),
        ({"qr_ids": [str(UUID(int=7))] * 2}, "body.qr_ids.1", "Name it once"),
        ({"tag": "unused"}, "body.tag", "No code is selected"),
        ({"all": True, "size": 99}, "body.size", "100"),
        ({"all": True, "size": 2001}, "body.size", "2,000"),
        ({"all": True, "format": "gif"}, "body.format", "png"),
        ({"all": True, "error_correction": "X"}, "body.error_correction", "L"),
        ({"all": True, "output": "tar"}, "body.output", "zip"),
        ({"all": True, "output": "label_sheet", "label": {"template": "a3-1x1"}}, "body.label.template", "a4-3x8"),
        ({"all": True, "output": "label_sheet", "label": {"caption": "logo"}}, "body.label.caption", "none"),
        ({"all": True, "output": "label_sheet", "label": {"start_at": 0}}, "body.label.start_at", "from 1"),
        ({"all": True, "output": "label_sheet", "label": {"start_at": 25}}, "body.label.start_at", "from 1 to 24"),
        ({"all": True, "output": "label_sheet", "label": {"start_at": 201}}, "body.label.start_at", "200"),
        ({"all": True, "label": {}}, "body.label", "label_sheet"),
        ({"all": True, "output": "zip", "label": {"caption": "none"}}, "body.label", "label_sheet"),
        ({"all": True, "color": "red"}, "body.color", ""),
    ],
    ids=str,
)
def test_an_invalid_field_is_named(
    conn: Conn, staff: Staff, post: Callable[..., Any], body: dict[str, Any], loc: str, message: str
) -> None:
    make_code(conn, staff.org_id)
    response = post(**body)

    assert response.status_code == 422
    (error,) = response.json["errors"]
    assert error["loc"] == loc
    assert message in error["message"]
    assert conn.execute("SELECT FROM render_jobs").rowcount == 0


def test_an_organization_without_codes_gets_422(post: Callable[..., Any]) -> None:
    response = post(all=True)

    assert (response.status_code, response.json["errors"][0]["loc"]) == (422, "body.all")


def test_codes_of_another_organization_are_named(
    conn: Conn, staff: Staff, post: Callable[..., Any], messages: list[Message]
) -> None:
    own, other = make_code(conn, staff.org_id), make_code(conn)

    response = post(qr_ids=[str(own), str(other), str(uuid4())])

    assert response.status_code == 422
    assert [error["loc"] for error in response.json["errors"]] == ["body.qr_ids.1", "body.qr_ids.2"]
    assert conn.execute("SELECT FROM render_jobs").rowcount == 0
    assert messages == []


def test_100_001_ids_are_too_many(conn: Conn, post: Callable[..., Any]) -> None:
    response = post(qr_ids=[str(UUID(int=n)) for n in range(rules.MAX_CODES + 1)])

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == "body.qr_ids"
    assert "100,000" in response.json["errors"][0]["message"]
    assert conn.execute("SELECT FROM render_jobs").rowcount == 0


def test_a_selection_of_too_many_codes_gets_422(
    conn: Conn, staff: Staff, post: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (code_selection, renders):
        monkeypatch.setattr(module, "MAX_CODES", 3)
    first, *_ = make_codes(conn, staff.org_id, 4)

    response = post(all=True)

    assert (response.status_code, response.json["errors"][0]["loc"]) == (422, "body.all")
    assert "at most 3 codes" in response.json["errors"][0]["message"]
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (first,))
    assert post(all=True).json["total"] == 3


def test_a_body_beyond_10_mib_gets_413(client: Any, staff: Staff) -> None:
    response = client.post(
        f"{staff.path}/renders",
        data=b'{"tag": "' + b"a" * 10 * 2**20 + b'"}',
        content_type="application/json",
        headers=staff.admin.headers,
    )

    assert response.status_code == 413


def test_the_schema_names_every_built_in_template() -> None:
    schema = LabelBody.model_json_schema()["properties"]["template"]

    assert all(f"{name}: {SOLD_AS[name]}" in schema["description"] for name in TEMPLATES)


def test_a_render_repeats_the_options_of_its_labels(conn: Conn, staff: Staff, post: Callable[..., Any]) -> None:
    make_code(conn, staff.org_id)
    label = {"template": "letter-2x5", "caption": "none", "start_at": 10}

    assert post(all=True, output="label_sheet", label=label).json["label"] == label
    assert post(all=True, output="label_sheet").json["label"] == {
        "template": "a4-3x8",
        "caption": "code",
        "start_at": 1,
    }


# Repeated requests, and other organizations --------------------------------------------------------------------------


def test_a_repeated_idempotency_key_creates_one_render(
    conn: Conn, staff: Staff, post: Callable[..., Any], messages: list[Message]
) -> None:
    make_code(conn, staff.org_id)

    first = post({"Idempotency-Key": "k"}, all=True)
    again = post({"Idempotency-Key": "k"}, all=True)

    assert (again.status_code, again.json, again.headers["Location"]) == (202, first.json, first.headers["Location"])
    assert conn.execute("SELECT FROM render_jobs").rowcount == 1
    assert set(messages) == {RendersPending()}
    assert post({"Idempotency-Key": "k"}, all=True, size=400).status_code == 422


def test_two_renders_of_the_same_codes_are_independent(
    app: Flask, client: Any, conn: Conn, staff: Staff, post: Callable[..., Any]
) -> None:
    make_code(conn, staff.org_id)

    first, second = (UUID(post(all=True).json["render_id"]) for _ in range(2))
    work()
    client.delete(f"{staff.path}/renders/{first}", headers=staff.admin.headers)

    assert first != second
    assert len(read_images(read_file(conn, second))) == 1


def test_another_organization_has_no_access(
    app: Flask, client: Any, conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any]
) -> None:
    make_code(conn, staff.org_id)
    render_id = post(all=True).json["render_id"]
    work()
    link = get(f"{staff.path}/renders/{render_id}").json["download_url"]
    other = make_staff(app, conn)

    for path in (f"{other.path}/renders/{render_id}", f"{other.path}/renders/{render_id}/download"):
        assert client.get(path, headers=other.owner.headers).status_code == 404
    assert client.delete(f"{other.path}/renders/{render_id}", headers=other.owner.headers).status_code == 404
    assert client.get(f"{other.path}/renders", headers=other.owner.headers).json["items"] == []
    elsewhere = link.replace(str(staff.org_id), str(other.org_id))
    assert client.get(elsewhere).status_code == 404
    assert client.get(link).status_code == 200


def test_renders_are_listed_newest_first(
    conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any]
) -> None:
    make_code(conn, staff.org_id)
    created = [post(all=True).json["render_id"] for _ in range(3)]

    first = get(f"{staff.path}/renders?limit=2").json
    rest = get(f"{staff.path}/renders?limit=2&cursor={first['next_cursor']}").json

    assert [render["render_id"] for render in first["items"] + rest["items"]] == created[::-1]
    assert rest["next_cursor"] is None


# Canceling ------------------------------------------------------------------------------------------------------------


def test_canceling_a_queued_render(
    client: Any, conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any], messages: list[Message]
) -> None:
    make_code(conn, staff.org_id)
    url = post(all=True).json["status_url"]

    for _ in range(2):
        assert client.delete(url, headers=staff.admin.headers).status_code == 204
    work()

    render = get(url).json
    assert {"status": "canceled", "done": 0, "download_url": None}.items() <= render.items()
    assert get(f"{url}/download").status_code == 404
    assert RenderFilesUnneeded(render["render_id"]) in messages
    assert list_files(UUID(render["render_id"])) == []


def test_deleting_a_finished_render_expires_its_file(
    client: Any, conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any]
) -> None:
    from workers.renders import delete_render_files

    make_code(conn, staff.org_id)
    render = post(all=True).json
    work()
    link = get(render["status_url"]).json["download_url"]

    assert client.delete(render["status_url"], headers=staff.admin.headers).status_code == 204
    delete_render_files(render["render_id"])

    assert client.get(link).status_code == get(f"{render['status_url']}/download").status_code == 410
    assert get(render["status_url"]).json["download_url"] is None
    assert list_files(UUID(render["render_id"])) == []
