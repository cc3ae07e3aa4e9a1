"""Customizations over HTTP."""

from io import BytesIO
from typing import Any

import pytest

from shared.images import verification
from shared.infra.db import Conn
from tests.images.camera_view import decode, open_png
from tests.images.designs import CUSTOM, CUSTOM_RATIO, DEFAULTS, colors, logo
from tests.support.callers import Staff
from tests.support.factories import make_code


def test_a_new_code_has_the_default_appearance(customization: Any) -> None:
    assert customization() == DEFAULTS


def test_put_changes_the_image(put: Any, customization: Any, get_image: Any) -> None:
    plain = get_image()

    response = put(**CUSTOM)
    custom = get_image(size=400)

    assert response.status_code == 200
    assert response.json == customization() == CUSTOM | CUSTOM_RATIO | {"has_logo": False}
    assert get_image().headers["ETag"] != plain.headers["ETag"]
    assert open_png(custom.data).size == (400, 400)
    assert {"#1A2B3C", "#FFF8E7"} <= colors(custom.data)
    assert decode(custom.data)[0].endswith("/s/spy123")


@pytest.mark.parametrize("format_", ["svg", "pdf"])
def test_vector_formats_are_served_customized(put: Any, upload: Any, get_image: Any, format_: str) -> None:
    put(**CUSTOM)
    upload(logo())

    response = get_image(format=format_)

    assert response.status_code == 200
    assert response.content_type == {"svg": "image/svg+xml", "pdf": "application/pdf"}[format_]
    assert b"script" not in response.data


def test_put_resets_omitted_fields(put: Any) -> None:
    put(**CUSTOM)

    assert put(style="rounded").json == DEFAULTS | {"style": "rounded"}


def test_undoing_a_change_restores_the_image(client: Any, staff: Staff, code: str, put: Any, get_image: Any) -> None:
    plain = get_image()
    put(**CUSTOM)
    changed = get_image()
    put()
    undone = get_image()
    put(**CUSTOM)
    assert client.delete(f"{code}/customization", headers=staff.admin.headers).status_code == 204
    reset = get_image()

    assert changed.headers["ETag"] != plain.headers["ETag"]
    assert {plain.headers["ETag"]} == {undone.headers["ETag"], reset.headers["ETag"]}
    assert plain.data == undone.data == reset.data


def test_deleting_twice_succeeds(client: Any, staff: Staff, code: str, customization: Any) -> None:
    for _ in range(2):
        assert client.delete(f"{code}/customization", headers=staff.admin.headers).status_code == 204
        assert client.delete(f"{code}/customization/logo", headers=staff.admin.headers).status_code == 204

    assert customization() == DEFAULTS


@pytest.mark.parametrize(
    ("fields", "ratio"),
    [
        ({"foreground_color": "#FFFFFF"}, "1.0"),
        ({"foreground_color": "#959595"}, "2.99"),
        ({"foreground_color": "#FFD700"}, "1.4"),
    ],
)
def test_low_contrast_is_rejected_with_its_ratio(put: Any, customization: Any, fields: Any, ratio: str) -> None:
    response = put(**fields)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == "body.foreground_color"
    assert ratio in response.json["errors"][0]["message"]
    assert customization() == DEFAULTS


def test_a_contrast_of_3_is_accepted(put: Any) -> None:
    # The ratio is 3.03.
    assert put(foreground_color="#949494").status_code == 200


def test_light_on_dark_is_rejected(put: Any) -> None:
    response = put(foreground_color="#FFFFFF", background_color="#000000")

    assert response.status_code == 422
    assert "dark" in response.json["errors"][0]["message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("foreground_color", "red;}<script>"),
        ("foreground_color", "red"),
        ("background_color", "#FFF"),
        ("background_color", "#FFFFFF\n"),
        ("background_color", "#FFFFFF00"),
        ("background_color", "url(//evil)"),
        ("foreground_color", None),
        ("foreground_color", 0),
        ("style", "stars"),
        ("style", "Dots"),
        ("style", None),
        ("logo_size_percent", 9),
        ("logo_size_percent", 31),
        ("logo_size_percent", 20.5),
        ("logo_size_percent", "20"),
        ("logo_size_percent", True),
        ("has_logo", True),
        ("logo", "https://evil.example/logo.png"),
        ("logo_digest", "0" * 64),
    ],
    ids=ascii,
)
def test_an_invalid_field_is_named(put: Any, customization: Any, field: str, value: Any) -> None:
    response = put(**{field: value})

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == f"body.{field}"
    assert customization() == DEFAULTS


def test_an_unreadable_appearance_is_not_stored(
    put: Any, upload: Any, customization: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "is_readable", lambda *_args: False)

    for response, loc in ((put(**CUSTOM), "body"), (upload(logo()), "form.logo")):
        assert response.status_code == 422
        assert response.json["errors"][0]["loc"] == loc
        assert "Scanners cannot read" in response.json["errors"][0]["message"]
    # Images with the default appearance are not decoded.
    assert put().status_code == 200
    assert customization() == DEFAULTS


def test_an_unreadable_customized_image_is_not_served(
    put: Any, get_image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(**CUSTOM)
    monkeypatch.setattr(verification, "is_readable", lambda *_args: False)

    response = get_image(size=100)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == "query.size"


def test_a_code_of_another_organization_is_not_found(
    client: Any, conn: Conn, staff: Staff, put: Any, customization: Any
) -> None:
    other_code = f"{staff.codes}/{make_code(conn)}/customization"
    form = {"logo": (BytesIO(logo()), "logo.png")}

    assert client.put(f"{other_code}/logo", data=form, headers=staff.owner.headers).status_code == 404
    assert client.put(other_code, json=CUSTOM, headers=staff.owner.headers).status_code == 404
    assert conn.execute("SELECT count(*) FROM qr_customizations").fetchone() == (0,)
