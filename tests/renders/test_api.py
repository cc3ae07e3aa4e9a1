"""Renders over HTTP: asked for, watched, downloaded, canceled."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from shared.infra.db import Conn
from shared.infra.message_sender import background_sender
from shared.messages import Message, RenderFilesUnneeded, RendersPending
from shared.renders import rules
from shared.renders.label_templates import TEMPLATES
from tests.renders.factories import file_of, find, left, make_codes, pictures, texts, work
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code, make_org
from web.api.renders import LabelBody


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    sent: list[Message] = []
    monkeypatch.setattr(background_sender, "submit", sent.append)
    return sent


@pytest.fixture
def post(client: Any, staff: Staff, nudges: list[Message]) -> Callable[..., Any]:
    """Asks for a render as an admin: `post(all=True)`."""

    def send(headers: dict[str, str] | None = None, **body: Any) -> Any:
        return client.post(f"{staff.path}/renders", json=body, headers=staff.admin.headers | (headers or {}))

    return send


@pytest.fixture
def get(client: Any, staff: Staff) -> Callable[..., Any]:
    def fetch(path: str, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.get(path, headers=staff.admin.headers | named)

    return fetch


def test_from_asking_to_the_file(
    conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any], nudges: list[Message]
) -> None:
    codes = make_codes(conn, staff.org_id, 3)

    asked = post(all=True)

    told = asked.json
    render_id = told["render_id"]
    assert asked.status_code == 202
    assert asked.headers["Location"] == told["status_url"] == f"{staff.path}/renders/{render_id}"
    assert "id" not in told
    assert {"status": "queued", "total": 3, "done": 0, "progress": 0.0, "errors": []}.items() <= told.items()
    assert told["download_url"] is told["expires_at"] is None
    assert nudges == [RendersPending()]

    work()

    done = get(told["status_url"]).json
    assert {"status": "done", "done": 3, "failed": 0, "progress": 1.0}.items() <= done.items()
    assert done["expires_at"] > done["finished_at"]
    (listed,) = get(f"{staff.path}/renders").json["items"]
    assert listed | {"download_url": done["download_url"]} == done
    file = get(f"{told['status_url']}/download")
    assert file.data == file_of(conn, UUID(render_id))
    assert len(pictures(file.data)) == len(codes)


# What is selected -----------------------------------------------------------------------------------------------------


def test_codes_come_in_the_order_they_are_given_in(conn: Conn, staff: Staff, post: Callable[..., Any]) -> None:
    names = ["one", "two", "three"]
    codes = [make_code(conn, staff.org_id, code=name) for name in names]

    render_id = UUID(post(qr_ids=[str(codes[n]) for n in (2, 0, 1)]).json["render_id"])
    work()

    assert [text.rpartition("/")[2] for text in texts(file_of(conn, render_id))] == ["three", "one", "two"]


def test_a_tag_selects_the_codes_that_have_it_now(conn: Conn, staff: Staff, post: Callable[..., Any]) -> None:
    """What is tagged after the render was asked for is not in it, and what is removed fails by itself."""
    tagged = make_code(conn, staff.org_id, tags=["east"])
    gone = make_code(conn, staff.org_id, tags=["east", "old"])
    make_code(conn, staff.org_id, tags=["west"])
    make_code(conn, make_org(conn), tags=["east"])

    render_id = UUID(post(tag="east").json["render_id"])
    make_code(conn, staff.org_id, tags=["east"])
    conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (gone,))
    work()

    render = find(conn, render_id)
    assert (render.status, render.total, render.done, render.failed) == ("done", 2, 1, 1)
    assert len(texts(file_of(conn, render_id))) == 1
    assert tagged is not None


@pytest.mark.parametrize(
    ("body", "loc", "says"),
    [
        ({}, "body", "exactly one of"),
        ({"all": True, "tag": "east"}, "body", "exactly one of"),
        ({"all": False}, "body.all", "true"),
        ({"all": 1}, "body.all", "boolean"),
        ({"qr_ids": []}, "body.qr_ids", "at least 1"),
        ({"qr_ids": ["x"]}, "body.qr_ids.0", "UUID"),
        ({"qr_ids": [str(UUID(int=7))] * 2}, "body.qr_ids.1", "twice"),
        ({"tag": "nobody's"}, "body.tag", "no code"),
        ({"all": True, "size": 99}, "body.size", "100"),
        ({"all": True, "size": 2001}, "body.size", "2000"),
        ({"all": True, "format": "gif"}, "body.format", "png"),
        ({"all": True, "error_correction": "X"}, "body.error_correction", "L"),
        ({"all": True, "output": "tar"}, "body.output", "zip"),
        ({"all": True, "output": "label_sheet", "label": {"template": "a3-1x1"}}, "body.label.template", "a4-3x8"),
        ({"all": True, "output": "label_sheet", "label": {"caption": "logo"}}, "body.label.caption", "none"),
        ({"all": True, "label": {}}, "body.label", "label_sheet"),
        ({"all": True, "output": "zip", "label": {"caption": "none"}}, "body.label", "label_sheet"),
        ({"all": True, "color": "red"}, "body.color", ""),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_by_its_field(
    conn: Conn, post: Callable[..., Any], body: dict[str, Any], loc: str, says: str
) -> None:
    answer = post(**body)

    assert answer.status_code == 422
    (fault,) = answer.json["errors"]
    assert fault["loc"] == loc
    assert says in fault["message"]
    assert conn.execute("SELECT FROM render_jobs").rowcount == 0


def test_an_organization_without_codes_has_nothing_to_render(post: Callable[..., Any]) -> None:
    answer = post(all=True)

    assert (answer.status_code, answer.json["errors"][0]["loc"]) == (422, "body.all")


def test_codes_of_another_organization_are_named_by_their_place(
    conn: Conn, staff: Staff, post: Callable[..., Any], nudges: list[Message]
) -> None:
    mine, theirs = make_code(conn, staff.org_id), make_code(conn)

    answer = post(qr_ids=[str(mine), str(theirs), str(uuid4())])

    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json["errors"]] == ["body.qr_ids.1", "body.qr_ids.2"]
    assert conn.execute("SELECT FROM render_jobs").rowcount == 0
    assert nudges == []


def test_a_hundred_thousand_and_one_codes_are_too_many(conn: Conn, post: Callable[..., Any]) -> None:
    answer = post(qr_ids=[str(UUID(int=n)) for n in range(rules.MAX_CODES + 1)])

    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == "body.qr_ids"
    assert "100000" in answer.json["errors"][0]["message"]
    assert conn.execute("SELECT FROM render_jobs").rowcount == 0


def test_a_selection_of_too_many_codes(
    conn: Conn, staff: Staff, post: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    conn.execute(
        "INSERT INTO qr_codes (org_id, code, scan_type)"
        " SELECT %s, 'code' || n, 'item_drop' FROM generate_series(1, %s) n",
        (staff.org_id, rules.MAX_CODES + 1),
    )

    answer = post(all=True)

    assert answer.status_code == 422
    assert "100,000" in answer.json["errors"][0]["message"]
    conn.execute("DELETE FROM qr_codes WHERE code = 'code1'")
    assert post(all=True).json["total"] == rules.MAX_CODES


def test_a_body_beyond_ten_mebibytes(client: Any, staff: Staff) -> None:
    answer = client.post(
        f"{staff.path}/renders",
        data=b'{"tag": "' + b"a" * 10 * 2**20 + b'"}',
        content_type="application/json",
        headers=staff.admin.headers,
    )

    assert answer.status_code == 413


def test_the_templates_are_those_that_there_are() -> None:
    schema = LabelBody.model_json_schema()["properties"]["template"]

    assert set(schema["enum"]) == set(TEMPLATES)
    assert len(TEMPLATES) >= 6


# Again, and by others -------------------------------------------------------------------------------------------------


def test_a_key_asks_once(conn: Conn, staff: Staff, post: Callable[..., Any], nudges: list[Message]) -> None:
    make_code(conn, staff.org_id)

    first = post({"Idempotency-Key": "k"}, all=True)
    again = post({"Idempotency-Key": "k"}, all=True)

    assert (again.status_code, again.json, again.headers["Location"]) == (202, first.json, first.headers["Location"])
    assert conn.execute("SELECT FROM render_jobs").rowcount == 1
    assert set(nudges) == {RendersPending()}
    assert post({"Idempotency-Key": "k"}, all=True, size=400).status_code == 422


def test_two_who_ask_for_the_same_have_a_render_each(
    app: Flask, client: Any, conn: Conn, staff: Staff, post: Callable[..., Any]
) -> None:
    make_code(conn, staff.org_id)

    first, second = (UUID(post(all=True).json["render_id"]) for _ in range(2))
    work()
    client.delete(f"{staff.path}/renders/{first}", headers=staff.admin.headers)

    assert first != second
    assert len(pictures(file_of(conn, second))) == 1


def test_another_organization_sees_none_of_it(
    app: Flask, client: Any, conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any]
) -> None:
    make_code(conn, staff.org_id)
    render_id = post(all=True).json["render_id"]
    work()
    link = get(f"{staff.path}/renders/{render_id}").json["download_url"]
    mine = make_staff(app, conn)

    for path in (f"{mine.path}/renders/{render_id}", f"{mine.path}/renders/{render_id}/download"):
        assert client.get(path, headers=mine.owner.headers).status_code == 404
    assert client.delete(f"{mine.path}/renders/{render_id}", headers=mine.owner.headers).status_code == 404
    assert client.get(f"{mine.path}/renders", headers=mine.owner.headers).json["items"] == []
    elsewhere = link.replace(str(staff.org_id), str(mine.org_id))
    assert client.get(elsewhere).status_code == 404
    assert client.get(link).status_code == 200


def test_renders_are_listed_newest_first(
    conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any]
) -> None:
    make_code(conn, staff.org_id)
    asked = [post(all=True).json["render_id"] for _ in range(3)]

    first = get(f"{staff.path}/renders?limit=2").json
    rest = get(f"{staff.path}/renders?limit=2&cursor={first['next_cursor']}").json

    assert [told["render_id"] for told in first["items"] + rest["items"]] == asked[::-1]
    assert rest["next_cursor"] is None


# Canceling ------------------------------------------------------------------------------------------------------------


def test_canceling_what_waits(
    client: Any, conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any], nudges: list[Message]
) -> None:
    make_code(conn, staff.org_id)
    url = post(all=True).json["status_url"]

    for _ in range(2):
        assert client.delete(url, headers=staff.admin.headers).status_code == 204
    work()

    told = get(url).json
    assert {"status": "canceled", "done": 0, "download_url": None}.items() <= told.items()
    assert get(f"{url}/download").status_code == 404
    assert RenderFilesUnneeded(told["render_id"]) in nudges
    assert left(UUID(told["render_id"])) == []


def test_removing_the_file_of_what_is_done(
    client: Any, conn: Conn, staff: Staff, post: Callable[..., Any], get: Callable[..., Any]
) -> None:
    from workers.renders import delete_render_files

    make_code(conn, staff.org_id)
    told = post(all=True).json
    work()
    link = get(told["status_url"]).json["download_url"]

    assert client.delete(told["status_url"], headers=staff.admin.headers).status_code == 204
    delete_render_files(told["render_id"])

    assert client.get(link).status_code == get(f"{told['status_url']}/download").status_code == 410
    assert get(told["status_url"]).json["download_url"] is None
    assert left(UUID(told["render_id"])) == []
