"""Images over HTTP."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from shared.images import render, verification
from shared.images.image_spec import ImageSpec
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
    """The path of the image of a code spy123."""
    return f"{staff.codes}/{make_code(conn, staff.org_id, code='spy123')}/image"


@pytest.fixture
def business(staff: Staff) -> str:
    return f"{staff.path}/qr-business/image"


@pytest.fixture
def get(client: Any, staff: Staff) -> Callable[..., Any]:
    """Request an image as a member: `get(path, size=400)`."""

    def send(path: str, headers: dict[str, str] | None = None, **query: Any) -> Any:
        return client.get(path, query_string=query or None, headers=staff.member.headers | (headers or {}))

    return send


@pytest.fixture
def specs(monkeypatch: pytest.MonkeyPatch) -> list[ImageSpec]:
    """Every spec that was rendered."""
    specs: list[ImageSpec] = []

    def record(spec: ImageSpec, logo: bytes | None = None) -> bytes:
        specs.append(spec)
        return render.render(spec, logo)

    monkeypatch.setattr(verification, "render", record)
    return specs


def test_the_image_of_a_code_encodes_its_url(get: Any, path: str) -> None:
    response = get(path)

    assert response.status_code == 200
    assert response.content_type == "image/png"
    assert response.headers["Cache-Control"] == DAY
    assert response.headers["Content-Disposition"] == 'inline; filename="qr-spy123.png"'
    assert open_png(response.data).size == (300, 300)
    assert decode(response.data) == (f"{settings().public_base_url}/s/spy123", "M")


def test_a_business_code_encodes_the_public_page(get: Any, conn: Conn, staff: Staff, business: str) -> None:
    conn.execute("UPDATE organizations SET slug = 'city-museum' WHERE id = %s", (staff.org_id,))

    response = get(business)

    assert response.headers["Content-Disposition"] == 'inline; filename="qr-business-city-museum.png"'
    assert response.headers["Cache-Control"] == DAY
    assert open_png(response.data).size == (500, 500)
    assert decode(response.data) == (f"{settings().public_base_url}/b/city-museum", "Q")


@pytest.mark.parametrize("level", ["L", "M", "Q", "H"])
@pytest.mark.parametrize("size", [100, 257, 2000])
def test_a_png_has_the_requested_size_and_level(get: Any, path: str, size: int, level: str) -> None:
    response = get(path, size=size, error_correction=level)

    assert open_png(response.data).size == (size, size)
    assert decode(response.data) == (f"{settings().public_base_url}/s/spy123", level)


@pytest.mark.parametrize(
    ("format_", "content_type", "begins"),
    [("svg", "image/svg+xml", b"<"), ("pdf", "application/pdf", b"%PDF-"), ("png", "image/png", b"\x89PNG\r\n")],
)
def test_every_format_is_served(
    get: Any, path: str, business: str, format_: str, content_type: str, begins: bytes
) -> None:
    for url in (path, business):
        response = get(url, format=format_)

        assert response.status_code == 200
        assert response.headers["Content-Type"] == content_type
        assert response.data.startswith(begins)
        assert response.headers["Content-Disposition"].endswith(f'.{format_}"')


def test_an_svg_is_served_with_a_strict_policy(get: Any, path: str) -> None:
    assert get(path, format="svg").headers["Content-Security-Policy"].startswith("default-src 'none'")


WRONG: list[tuple[str, list[str]]] = [
    (
        "size",
        ["99", "2001", "300.5", "300.0", "x", "NaN", "inf", "-300", "+300", "1e3", "", " 300", "9" * 5_000, "\u0663"],
    ),
    ("format", ["gif", "PNG", "", "png\x00", "../png"]),
    ("error_correction", ["X", "m", "", "MM"]),
    ("dpi", ["71", "2401", "", "300.5"]),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG for value in values],
    ids=lambda value: ascii(value)[:20],
)
def test_an_invalid_parameter_is_named(get: Any, path: str, business: str, name: str, value: str) -> None:
    for url in (path, business):
        response = get(url, **{name: value})

        assert response.status_code == 422
        assert response.content_type == "application/problem+json"
        assert [error["loc"] for error in response.json["errors"]] == [f"query.{name}"]


def test_a_png_states_the_requested_resolution(get: Any, path: str, business: str) -> None:
    for url in (path, business):
        default, printed = get(url), get(url, dpi=600)
        assert [round(open_png(image.data).info["dpi"][0]) for image in (default, printed)] == [300, 600]
        assert default.headers["ETag"] != printed.headers["ETag"]
        refused = get(url, format="svg", dpi=300)
        assert (refused.status_code, refused.json["errors"][0]["loc"]) == (422, "query.dpi")


@pytest.mark.parametrize("query", ["size=300&size=99", "size=300&size=300", "format=png&format=svg"])
def test_a_repeated_parameter_is_named(get: Any, path: str, business: str, query: str) -> None:
    for url in (path, business):
        response = get(f"{url}?{query}")

        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == f"query.{query.partition('=')[0]}"


def set_public_url(app: Flask, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    changed = settings().model_copy(update={"public_url": url})
    monkeypatch.setattr("shared.images.code_url.settings", lambda: changed)
    change_settings(app, monkeypatch, public_url=url)


def test_a_too_small_size_names_the_smallest_one(
    app: Flask, get: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_public_url(app, monkeypatch, "https://waymark.example/" + "a" * 600)

    response = get(path, size=100)

    assert response.status_code == 422
    (error,) = response.json["errors"]
    assert error["loc"] == "query.size"
    smallest = int("".join(filter(str.isdigit, error["message"])))
    assert get(path, size=smallest).status_code == 200
    assert get(path, size=smallest - 1).status_code == 422


def test_a_too_long_url_names_the_level(app: Flask, get: Any, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_public_url(app, monkeypatch, "https://waymark.example/" + "a" * 2_900)

    response = get(path, size=2000, error_correction="H")

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == "query.error_correction"


class TestNothingIsRendered:
    """The ETag is computed from the spec."""

    def test_for_a_current_etag(self, get: Any, path: str, specs: list[ImageSpec]) -> None:
        first = get(path)
        assert len(specs) == 1
        cache._client().flushall()

        for tags in (first.headers["ETag"], f'"other", W/{first.headers["ETag"]}', "*"):
            response = get(path, headers={"If-None-Match": tags})
            assert response.status_code == 304
            assert response.data == b""
            assert response.headers["ETag"] == first.headers["ETag"]
            assert response.headers["Cache-Control"] == DAY
        assert len(specs) == 1

    def test_for_a_cached_image(self, get: Any, path: str, specs: list[ImageSpec]) -> None:
        assert len({get(path).data for _ in range(3)}) == 1
        assert len(specs) == 1

    def test_for_an_invalid_request(self, get: Any, path: str, specs: list[ImageSpec]) -> None:
        get(path, size=99)
        assert specs == []


def test_an_etag_is_strong_and_depends_on_every_option(get: Any, path: str, business: str) -> None:
    options: list[dict[str, Any]] = [{}, {"size": 301}, {"error_correction": "L"}, {"format": "svg"}, {"format": "pdf"}]
    tags = [get(path, **option).headers["ETag"] for option in options] + [get(business).headers["ETag"]]

    assert len(set(tags)) == len(tags)
    assert all(tag.startswith('"') and len(tag) == 66 for tag in tags)
    assert get(path, headers={"If-None-Match": tags[1]}).status_code == 200


def test_svg_is_compressed_for_clients_that_take_that(get: Any, path: str) -> None:
    """Under another ETag, because a strong one names the bytes."""
    plain, packed = (get(path, format="svg", headers={"Accept-Encoding": name}) for name in ("identity", "gzip"))
    again = get(path, format="svg", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]})

    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data)
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert (again.status_code, again.headers["ETag"]) == (304, packed.headers["ETag"])
    assert {"Accept-Encoding" in each.vary for each in (plain, packed, again)} == {True}


def test_head_has_the_headers_of_get(client: Any, staff: Staff, get: Any, path: str, business: str) -> None:
    for url in (path, business):
        full = get(url)
        response = client.head(url, headers=staff.member.headers)

        assert response.status_code == 200
        assert response.data == b""
        for name in ("ETag", "Cache-Control", "Content-Type", "Content-Length", "Content-Disposition"):
            assert response.headers[name] == full.headers[name]
        again = client.head(url, headers=staff.member.headers | {"If-None-Match": full.headers["ETag"]})
        assert again.status_code == 304


def test_a_change_is_visible_at_once_and_can_be_undone(client: Any, staff: Staff, get: Any, path: str) -> None:
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


def test_a_deleted_code_has_no_image(client: Any, staff: Staff, get: Any, path: str) -> None:
    tag = get(path).headers["ETag"]
    client.delete(path.removesuffix("/image"), headers=staff.admin.headers)

    assert get(path).status_code == 404
    assert get(path, headers={"If-None-Match": tag}).status_code == 404


def test_an_etag_reveals_nothing_without_access(client: Any, staff: Staff, get: Any, path: str) -> None:
    tag = {"If-None-Match": get(path).headers["ETag"]}

    assert client.get(path, headers=tag).status_code == 401
    assert client.get(path, headers=tag | staff.stranger.headers).status_code == 403


def test_without_redis_a_process_renders_an_image_once(
    get: Any, path: str, specs: list[ImageSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_query", lambda _question: None)

    assert [get(path).status_code for _ in range(3)] == [200, 200, 200]
    assert len(specs) == 1


def test_image_url_returns_the_image(client: Any, staff: Staff, get: Any) -> None:
    created = client.post(staff.codes, json={"scan_type": "item_drop"}, headers=staff.admin.headers).json
    listed = client.get(staff.codes, headers=staff.member.headers).json["items"][0]

    assert listed["image_url"] == created["image_url"]
    assert decode(get(created["image_url"]).data)[0].endswith(f"/s/{created['code']}")


def test_lookups_are_counted_for_the_organization(get: Any, staff: Staff, path: str) -> None:
    for _ in range(3):
        get(path)

    counts = cache.lookup_counts(staff.org_id)
    assert counts is not None
    assert (counts[images.name, "miss"], counts[images.name, "hit"]) == (1, 2)
