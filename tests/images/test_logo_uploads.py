"""Logos of codes over HTTP."""

from io import BytesIO
from typing import Any

import pytest

from tests.images.camera_view import decode
from tests.images.designs import CUSTOM, CUSTOM_RATIO, DEFAULTS, has_red, logo
from tests.support.callers import Staff

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(("kind", "name"), [("PNG", "logo.png"), ("JPEG", "logo.jpg"), ("PNG", "../../etc/passwd")])
def test_a_logo_is_rendered_at_level_h(
    put: Any, upload: Any, customization: Any, get_image: Any, kind: str, name: str
) -> None:
    put(**CUSTOM)
    without_logo = get_image(size=600, error_correction="L")

    response = upload(logo(kind), name)
    custom = get_image(size=600, error_correction="L")

    assert response.status_code == 200
    assert response.json == customization() == CUSTOM | CUSTOM_RATIO | {"has_logo": True}
    assert (decode(without_logo.data)[1], decode(custom.data)[1]) == ("L", "H")
    assert has_red(custom.data)
    assert not has_red(without_logo.data)
    for level in "MQH":
        assert get_image(size=600, error_correction=level).headers["ETag"] == custom.headers["ETag"]


@pytest.mark.parametrize("style", ["squares", "dots", "rounded"])
@pytest.mark.parametrize("percent", [10, 20, 30])
def test_every_style_is_readable_with_a_logo_of_any_size(
    put: Any, upload: Any, get_image: Any, style: str, percent: int
) -> None:
    assert upload(logo()).status_code == 200
    assert put(style=style, logo_size_percent=percent).status_code == 200

    custom = get_image()

    assert custom.status_code == 200
    assert decode(custom.data)[0].endswith("/s/spy123")


def test_the_image_follows_the_logo(upload: Any, get_image: Any) -> None:
    tags = []
    for color in ("crimson", "navy", "crimson"):
        upload(logo(color=color))
        tags.append(get_image().headers["ETag"])

    assert tags[0] == tags[2] != tags[1]


def test_deleting_a_logo_restores_the_image_without_it(
    client: Any, staff: Staff, code: str, put: Any, upload: Any, customization: Any, get_image: Any
) -> None:
    put(**CUSTOM)
    before = get_image()
    upload(logo())

    assert client.delete(f"{code}/customization/logo", headers=staff.admin.headers).status_code == 204
    assert customization() == CUSTOM | CUSTOM_RATIO | {"has_logo": False}
    assert get_image().headers["ETag"] == before.headers["ETag"]


def test_put_does_not_change_the_logo(put: Any, upload: Any, customization: Any) -> None:
    upload(logo())
    put(style="rounded")

    assert customization() == DEFAULTS | {"style": "rounded", "has_logo": True}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (SVG, "logo.svg"),
        (SVG, "logo.png"),
        (logo("GIF"), "logo.png"),
        (b"GIF89a" + bytes(100), "logo.png"),
        (b"", "logo.png"),
        (b"x", "logo.png"),
    ],
    ids=["svg", "svg named png", "gif named png", "damaged gif", "empty", "one byte"],
)
def test_a_file_of_another_format_is_rejected(upload: Any, customization: Any, data: bytes, name: str) -> None:
    response = upload(data, name)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == "form.logo"
    assert customization() == DEFAULTS


@pytest.mark.parametrize(("size", "limit"), [(2**20 + 1, "1,048,576"), (2**21 + 1, "2,097,152")])
def test_a_too_large_logo_is_rejected(upload: Any, customization: Any, size: int, limit: str) -> None:
    response = upload(logo().ljust(size, b"\x00"))

    assert response.status_code == 413
    assert limit in response.json["detail"]
    assert customization() == DEFAULTS


@pytest.mark.parametrize("content_type", ["application/json", "image/png", "", "application/x-www-form-urlencoded"])
def test_a_logo_must_be_in_a_form(client: Any, staff: Staff, code: str, content_type: str) -> None:
    response = client.put(
        f"{code}/customization/logo", data=logo(), content_type=content_type, headers=staff.admin.headers
    )

    assert response.status_code == 415


def test_a_form_must_contain_one_logo_only(client: Any, staff: Staff, code: str, upload: Any) -> None:
    def send(**form: Any) -> Any:
        return client.put(
            f"{code}/customization/logo", data=form, content_type="multipart/form-data", headers=staff.admin.headers
        )

    responses = [
        upload(logo(), field="image"),
        send(logo="https://evil.example/logo.png"),
        send(logo=[(BytesIO(logo()), "a.png"), (BytesIO(logo()), "b.png")]),
        send(),
    ]

    for response in responses:
        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == "form.logo"
    assert send(logo=(BytesIO(logo()), "a.png"), name="x").json["errors"][0]["loc"] == "form.name"


def test_credentials_are_checked_before_the_upload(client: Any, staff: Staff, code: str) -> None:
    for headers, status in (({}, 401), (staff.stranger.headers, 403), (staff.analyst.headers, 403)):
        form = {"logo": (BytesIO(bytes(3 * 2**20)), "logo.png")}
        assert client.put(f"{code}/customization/logo", data=form, headers=headers).status_code == status
