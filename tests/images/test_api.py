"""Pictures over HTTP."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from shared.images import render, verification
from shared.infra import cache
from shared.infra.cache import images
from shared.infra.db import Conn
from shared.settings import settings
from tests.images.camera_view import decode, open_png
from tests.support.app_settings import change_settings
from tests.support.callers import Staff
from tests.support.factories import make_code

DAY = "private, max-age=86400"


@pytest.fixture
def path(conn: Conn, staff: Staff) -> str:
    """Of the picture of a code spy123."""
    return f"{staff.codes}/{make_code(conn, staff.org_id, code='spy123')}/image"


@pytest.fixture
def business(staff: Staff) -> str:
    return f"{staff.path}/qr-business/image"


@pytest.fixture
def get(client: Any, staff: Staff) -> Callable[..., Any]:
    """Asks for a picture as a member: `get(path, size=400)`."""

    def ask(path: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
        return client.get(path, query_string=query or None, headers=staff.member.headers | (headers or {}))

    return ask


@pytest.fixture
def renders(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was rendered since."""
    rendered: list[Any] = []

    def count(picture: Any, logo: bytes | None = None) -> bytes:
        rendered.append(picture)
        return render.render(picture, logo)

    monkeypatch.setattr(verification, "render", count)
    return rendered


def test_a_picture_of_a_code_leads_to_it(get: Any, path: str) -> None:
    answer = get(path)

    assert answer.status_code == 200
    assert answer.content_type == "image/png"
    assert answer.headers["Cache-Control"] == DAY
    assert answer.headers["Content-Disposition"] == 'inline; filename="qr-spy123.png"'
    assert open_png(answer.data).size == (300, 300)
    assert decode(answer.data) == (f"{settings().public_base_url}/s/spy123", "M")


def test_a_business_code_leads_to_the_organizations_page(get: Any, conn: Conn, staff: Staff, business: str) -> None:
    conn.execute("UPDATE organizations SET slug = 'city-museum' WHERE id = %s", (staff.org_id,))

    answer = get(business)

    assert answer.headers["Content-Disposition"] == 'inline; filename="qr-business-city-museum.png"'
    assert answer.headers["Cache-Control"] == DAY
    assert open_png(answer.data).size == (500, 500)
    assert decode(answer.data) == (f"{settings().public_base_url}/b/city-museum", "Q")


@pytest.mark.parametrize("level", ["L", "M", "Q", "H"])
@pytest.mark.parametrize("size", [100, 257, 2000])
def test_a_png_is_as_large_as_asked_and_of_the_level_asked(get: Any, path: str, size: int, level: str) -> None:
    answer = get(path, size=size, error_correction=level)

    assert open_png(answer.data).size == (size, size)
    assert decode(answer.data) == (f"{settings().public_base_url}/s/spy123", level)


@pytest.mark.parametrize(
    ("format_", "content_type", "begins"),
    [("svg", "image/svg+xml", b"<"), ("pdf", "application/pdf", b"%PDF-"), ("png", "image/png", b"\x89PNG\r\n")],
)
def test_other_formats(get: Any, path: str, business: str, format_: str, content_type: str, begins: bytes) -> None:
    for url in (path, business):
        answer = get(url, format=format_)

        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == content_type
        assert answer.data.startswith(begins)
        assert answer.headers["Content-Disposition"].endswith(f'.{format_}"')


def test_an_svg_that_is_opened_as_a_page_runs_nothing(get: Any, path: str) -> None:
    assert get(path, format="svg").headers["Content-Security-Policy"].startswith("default-src 'none'")


WRONG: list[tuple[str, list[str]]] = [
    (
        "size",
        ["99", "2001", "300.5", "300.0", "x", "NaN", "inf", "-300", "+300", "1e3", "", " 300", "9" * 5_000, "\u0663"],
    ),
    ("format", ["gif", "PNG", "", "png\x00", "../png"]),
    ("error_correction", ["X", "m", "", "MM"]),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG for value in values],
    ids=lambda value: ascii(value)[:20],
)
def test_what_is_wrong_is_named(get: Any, path: str, business: str, name: str, value: str) -> None:
    for url in (path, business):
        answer = get(url, **{name: value})

        assert answer.status_code == 422
        assert answer.content_type == "application/problem+json"
        assert [fault["loc"] for fault in answer.json["errors"]] == [f"query.{name}"]


@pytest.mark.parametrize("query", ["size=300&size=99", "size=300&size=300", "format=png&format=svg"])
def test_a_parameter_given_twice_is_named(get: Any, path: str, business: str, query: str) -> None:
    for url in (path, business):
        answer = get(f"{url}?{query}")

        assert answer.status_code == 422
        assert answer.json["errors"][0]["loc"] == f"query.{query.partition('=')[0]}"


def public_url(app: Flask, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    changed = settings().model_copy(update={"public_url": url})
    monkeypatch.setattr("shared.images.code_url.settings", lambda: changed)
    change_settings(app, monkeypatch, public_url=url)


def test_a_symbol_that_does_not_fit_names_the_smallest_size(
    app: Flask, get: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_url(app, monkeypatch, "https://waymark.example/" + "a" * 600)

    answer = get(path, size=100)

    assert answer.status_code == 422
    (fault,) = answer.json["errors"]
    assert fault["loc"] == "query.size"
    smallest = int("".join(filter(str.isdigit, fault["message"])))
    assert get(path, size=smallest).status_code == 200
    assert get(path, size=smallest - 1).status_code == 422


def test_a_text_that_no_symbol_holds(app: Flask, get: Any, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    public_url(app, monkeypatch, "https://waymark.example/" + "a" * 2_900)

    answer = get(path, size=2000, error_correction="H")

    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == "query.error_correction"


class TestNothingIsRendered:
    """The entity tag is known from what determines the picture."""

    def test_for_a_client_that_has_it(self, get: Any, path: str, renders: list[Any]) -> None:
        first = get(path)
        assert len(renders) == 1
        cache._client().flushall()

        for named in (first.headers["ETag"], f'"other", W/{first.headers["ETag"]}', "*"):
            answer = get(path, headers={"If-None-Match": named})
            assert answer.status_code == 304
            assert answer.data == b""
            assert answer.headers["ETag"] == first.headers["ETag"]
            assert answer.headers["Cache-Control"] == DAY
        assert len(renders) == 1

    def test_while_it_is_cached(self, get: Any, path: str, renders: list[Any]) -> None:
        assert len({get(path).data for _ in range(3)}) == 1
        assert len(renders) == 1

    def test_for_what_is_malformed(self, get: Any, path: str, renders: list[Any]) -> None:
        get(path, size=99)
        assert renders == []


def test_an_entity_tag_is_strong_and_another_for_every_wish(get: Any, path: str, business: str) -> None:
    wishes: list[dict[str, Any]] = [{}, {"size": 301}, {"error_correction": "L"}, {"format": "svg"}, {"format": "pdf"}]
    tags = [get(path, **wish).headers["ETag"] for wish in wishes] + [get(business).headers["ETag"]]

    assert len(set(tags)) == len(tags)
    assert all(tag.startswith('"') and len(tag) == 66 for tag in tags)
    assert get(path, headers={"If-None-Match": tags[1]}).status_code == 200


def test_head_tells_what_get_would(client: Any, staff: Staff, get: Any, path: str, business: str) -> None:
    for url in (path, business):
        shown = get(url)
        answer = client.head(url, headers=staff.member.headers)

        assert answer.status_code == 200
        assert answer.data == b""
        for name in ("ETag", "Cache-Control", "Content-Type", "Content-Length", "Content-Disposition"):
            assert answer.headers[name] == shown.headers[name]
        again = client.head(url, headers=staff.member.headers | {"If-None-Match": shown.headers["ETag"]})
        assert again.status_code == 304


def test_a_change_gives_another_picture_at_once_and_undoing_it_the_first(
    client: Any, staff: Staff, get: Any, path: str
) -> None:
    code = path.removesuffix("/image")
    before = get(path)

    client.patch(code, json={"description": "Moved"}, headers=staff.admin.headers)
    same = get(path)
    client.patch(code, json={"code": "spy124"}, headers=staff.admin.headers)
    changed = get(path, headers={"If-None-Match": before.headers["ETag"]})
    client.patch(code, json={"code": "spy123"}, headers=staff.admin.headers)
    undone = get(path)

    assert same.headers["ETag"] == before.headers["ETag"]
    assert changed.status_code == 200
    assert decode(changed.data)[0].endswith("/s/spy124")
    assert (undone.headers["ETag"], undone.data) == (before.headers["ETag"], before.data)


def test_a_removed_code_has_no_picture(client: Any, staff: Staff, get: Any, path: str) -> None:
    tag = get(path).headers["ETag"]
    client.delete(path.removesuffix("/image"), headers=staff.admin.headers)

    assert get(path).status_code == 404
    assert get(path, headers={"If-None-Match": tag}).status_code == 404


def test_who_may_not_see_it_does_not_learn_whether_it_changed(client: Any, staff: Staff, get: Any, path: str) -> None:
    tag = {"If-None-Match": get(path).headers["ETag"]}

    assert client.get(path, headers=tag).status_code == 401
    assert client.get(path, headers=tag | staff.stranger.headers).status_code == 403


def test_with_redis_away_a_process_draws_a_picture_once(
    get: Any, path: str, renders: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_ask", lambda _question: None)

    assert [get(path).status_code for _ in range(3)] == [200, 200, 200]
    assert len(renders) == 1


def test_image_url_leads_to_the_picture(client: Any, staff: Staff, get: Any) -> None:
    made = client.post(staff.codes, json={"scan_type": "item_drop"}, headers=staff.admin.headers).json
    listed = client.get(staff.codes, headers=staff.member.headers).json["items"][0]

    assert listed["image_url"] == made["image_url"]
    assert decode(get(made["image_url"]).data)[0].endswith(f"/s/{made['code']}")


def test_looks_are_counted_for_the_organization(get: Any, staff: Staff, path: str) -> None:
    for _ in range(3):
        get(path)

    counts = cache.lookup_counts(staff.org_id)
    assert counts is not None
    assert (counts[images.name, "miss"], counts[images.name, "hit"]) == (1, 2)


def test_the_web_loads_no_renderer_until_one_is_needed() -> None:
    heavy = "{'zxingcpp', 'segno', 'numpy', 'PIL', 'isal', 'zlib_ng'}"
    program = f"import sys; from web.app import create_app; create_app(); print(sorted({heavy} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
