"""How the picture of a code looks, over HTTP."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from PIL import Image, ImageDraw

from shared.images import store, verification
from shared.images.customizations import DEFAULT_CUSTOMIZATION
from shared.infra import db
from shared.infra.db import Conn
from tests.images.camera_view import pixels, seen
from tests.support.callers import Staff
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import make_code

DEFAULTS: dict[str, Any] = {
    "foreground_color": "#000000",
    "background_color": "#FFFFFF",
    "style": "squares",
    "logo_size_percent": 20,
    "has_logo": False,
}
LOOK: dict[str, Any] = {
    "foreground_color": "#1a2B3c",
    "background_color": "#FFF8E7",
    "style": "dots",
    "logo_size_percent": 25,
}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


def logo(kind: str = "PNG", color: str = "crimson", size: int = 64) -> bytes:
    image = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(image).ellipse((4, 4, size - 4, size - 4), fill=color)
    stream = BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


@pytest.fixture
def code(conn: Conn, staff: Staff) -> str:
    return f"{staff.codes}/{make_code(conn, staff.org_id, code='spy123')}"


@pytest.fixture
def put(client: Any, staff: Staff, code: str) -> Callable[..., Any]:
    def ask(**fields: Any) -> Any:
        return client.put(f"{code}/customization", json=fields, headers=staff.admin.headers)

    return ask


@pytest.fixture
def upload(client: Any, staff: Staff, code: str) -> Callable[..., Any]:
    def ask(data: bytes, name: str = "logo.png", field: str = "logo") -> Any:
        return client.put(
            f"{code}/customization/logo", data={field: (BytesIO(data), name)}, headers=staff.admin.headers
        )

    return ask


@pytest.fixture
def customization(client: Any, staff: Staff, code: str) -> Callable[[], Any]:
    return lambda: client.get(f"{code}/customization", headers=staff.member.headers).json


@pytest.fixture
def picture(client: Any, staff: Staff, code: str) -> Callable[..., Any]:
    def ask(**query: Any) -> Any:
        return client.get(f"{code}/image", query_string=query, headers=staff.member.headers)

    return ask


def colors(data: bytes) -> set[str]:
    found = pixels(data).convert("RGB").getcolors(10_000)
    return {"#{:02X}{:02X}{:02X}".format(*color) for _, color in found or ()}  # type: ignore[misc]


def test_a_code_looks_plain_until_somebody_says_otherwise(customization: Any) -> None:
    assert customization() == DEFAULTS


def test_what_is_put_is_kept_and_drawn(put: Any, customization: Any, picture: Any) -> None:
    plain = picture()

    answer = put(**LOOK)
    drawn = picture(size=400)

    assert answer.status_code == 200
    assert answer.json == customization() == LOOK | {"has_logo": False}
    assert picture().headers["ETag"] != plain.headers["ETag"]
    assert pixels(drawn.data).size == (400, 400)
    assert {"#1A2B3C", "#FFF8E7"} <= colors(drawn.data)
    assert seen(drawn.data)[0].endswith("/s/spy123")


@pytest.mark.parametrize("format_", ["svg", "pdf"])
def test_other_formats_are_read_back_too(put: Any, upload: Any, picture: Any, format_: str) -> None:
    put(**LOOK)
    upload(logo())

    answer = picture(format=format_)

    assert answer.status_code == 200
    assert answer.content_type == {"svg": "image/svg+xml", "pdf": "application/pdf"}[format_]
    assert b"script" not in answer.data


def test_put_replaces_and_what_is_left_out_gets_its_default(put: Any) -> None:
    put(**LOOK)

    assert put(style="rounded").json == DEFAULTS | {"style": "rounded"}


def test_undoing_a_change_restores_the_picture(client: Any, staff: Staff, code: str, put: Any, picture: Any) -> None:
    plain = picture()
    put(**LOOK)
    changed = picture()
    put()
    undone = picture()
    put(**LOOK)
    assert client.delete(f"{code}/customization", headers=staff.admin.headers).status_code == 204
    reset = picture()

    assert changed.headers["ETag"] != plain.headers["ETag"]
    assert {plain.headers["ETag"]} == {undone.headers["ETag"], reset.headers["ETag"]}
    assert plain.data == undone.data == reset.data


def test_deleting_twice_is_harmless(client: Any, staff: Staff, code: str, customization: Any) -> None:
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
def test_too_little_contrast_is_refused_and_told(put: Any, customization: Any, fields: Any, ratio: str) -> None:
    answer = put(**fields)

    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == "body.foreground_color"
    assert ratio in answer.json["errors"][0]["message"]
    assert customization() == DEFAULTS


def test_just_enough_contrast_is_taken(put: Any) -> None:
    assert put(foreground_color="#949494").status_code == 200  # 3.03


def test_light_on_dark_is_refused(put: Any) -> None:
    answer = put(foreground_color="#FFFFFF", background_color="#000000")

    assert answer.status_code == 422
    assert "dark" in answer.json["errors"][0]["message"]


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
def test_a_wrong_field_is_named(put: Any, customization: Any, field: str, value: Any) -> None:
    answer = put(**{field: value})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == f"body.{field}"
    assert customization() == DEFAULTS


def test_what_the_decoder_cannot_read_back_is_not_stored(
    put: Any, upload: Any, customization: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "is_readable", lambda *_args: False)

    for answer, blamed in ((put(**LOOK), "body"), (upload(logo()), "form.logo")):
        assert answer.status_code == 422
        assert answer.json["errors"][0]["loc"] == blamed
        assert "read back" in answer.json["errors"][0]["message"]
    assert put().status_code == 200  # plain ones are proved by tests
    assert customization() == DEFAULTS


def test_a_customized_picture_that_cannot_be_read_back_is_not_shown(
    put: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(**LOOK)
    monkeypatch.setattr(verification, "is_readable", lambda *_args: False)

    answer = picture(size=100)

    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == "query.size"


@pytest.mark.parametrize(("kind", "name"), [("PNG", "logo.png"), ("JPEG", "logo.jpg"), ("PNG", "../../etc/passwd")])
def test_a_logo_is_drawn_and_raises_the_level(
    put: Any, upload: Any, customization: Any, picture: Any, kind: str, name: str
) -> None:
    put(**LOOK)

    answer = upload(logo(kind), name)
    drawn = picture(size=600, error_correction="L")

    assert answer.status_code == 200
    assert answer.json == customization() == LOOK | {"has_logo": True}
    assert seen(drawn.data)[1] == "H"
    assert len(colors(drawn.data)) > 2
    for level in "MQH":
        assert picture(size=600, error_correction=level).headers["ETag"] == drawn.headers["ETag"]


@pytest.mark.parametrize("style", ["squares", "dots", "rounded"])
@pytest.mark.parametrize("percent", [10, 20, 30])
def test_logos_of_every_size_leave_every_style_readable(
    put: Any, upload: Any, picture: Any, style: str, percent: int
) -> None:
    assert upload(logo()).status_code == 200
    assert put(style=style, logo_size_percent=percent).status_code == 200

    drawn = picture()

    assert drawn.status_code == 200
    assert seen(drawn.data)[0].endswith("/s/spy123")


def test_another_logo_gives_another_picture_and_the_first_one_restores_it(upload: Any, picture: Any) -> None:
    tags = []
    for color in ("crimson", "navy", "crimson"):
        upload(logo(color=color))
        tags.append(picture().headers["ETag"])

    assert tags[0] == tags[2] != tags[1]


def test_a_logo_can_be_taken_away_again(
    client: Any, staff: Staff, code: str, put: Any, upload: Any, customization: Any, picture: Any
) -> None:
    put(**LOOK)
    before = picture()
    upload(logo())

    assert client.delete(f"{code}/customization/logo", headers=staff.admin.headers).status_code == 204
    assert customization() == LOOK | {"has_logo": False}
    assert picture().headers["ETag"] == before.headers["ETag"]


def test_a_logo_stays_when_the_look_changes(put: Any, upload: Any, customization: Any) -> None:
    upload(logo())
    put(style="rounded")

    assert customization() == DEFAULTS | {"style": "rounded", "has_logo": True}


@pytest.mark.parametrize(
    ("data", "name"),
    [(SVG, "logo.svg"), (SVG, "logo.png"), (b"GIF89a" + bytes(100), "logo.png"), (b"", "logo.png"), (b"x", "logo.png")],
    ids=["svg", "svg named png", "gif named png", "empty", "a byte"],
)
def test_what_is_no_logo_is_refused(upload: Any, customization: Any, data: bytes, name: str) -> None:
    answer = upload(data, name)

    assert answer.status_code == 422
    assert answer.json["errors"][0]["loc"] == "form.logo"
    assert customization() == DEFAULTS


def test_a_gif_that_is_one_is_refused(upload: Any) -> None:
    assert upload(logo("GIF")).status_code == 422


@pytest.mark.parametrize("size", [2**20 + 1, 2**21 + 1])
def test_a_logo_that_is_too_large_is_refused(upload: Any, customization: Any, size: int) -> None:
    answer = upload(logo().ljust(size, b"\x00"))

    assert answer.status_code == 413
    assert "1048576" in answer.json["detail"] or "2097152" in answer.json["detail"]
    assert customization() == DEFAULTS


@pytest.mark.parametrize("content_type", ["application/json", "image/png", "", "application/x-www-form-urlencoded"])
def test_a_logo_comes_as_a_form(client: Any, staff: Staff, code: str, content_type: str) -> None:
    answer = client.put(
        f"{code}/customization/logo", data=logo(), content_type=content_type, headers=staff.admin.headers
    )

    assert answer.status_code == 415


def test_a_form_has_one_logo_and_nothing_else(client: Any, staff: Staff, code: str, upload: Any) -> None:
    def sent(**form: Any) -> Any:
        return client.put(
            f"{code}/customization/logo", data=form, content_type="multipart/form-data", headers=staff.admin.headers
        )

    answers = [
        upload(logo(), field="image"),
        sent(logo="https://evil.example/logo.png"),
        sent(logo=[(BytesIO(logo()), "a.png"), (BytesIO(logo()), "b.png")]),
        sent(),
    ]

    for answer in answers:
        assert answer.status_code == 422
        assert answer.json["errors"][0]["loc"] == "form.logo"
    assert sent(logo=(BytesIO(logo()), "a.png"), name="x").json["errors"][0]["loc"] == "form.name"


def test_credentials_come_before_the_upload(client: Any, staff: Staff, code: str) -> None:
    for headers, status in (({}, 401), (staff.stranger.headers, 403), (staff.analyst.headers, 403)):
        form = {"logo": (BytesIO(bytes(3 * 2**20)), "logo.png")}
        assert client.put(f"{code}/customization/logo", data=form, headers=headers).status_code == status


def test_a_code_of_another_organization_is_not_there(
    client: Any, conn: Conn, staff: Staff, put: Any, customization: Any
) -> None:
    theirs = f"{staff.codes}/{make_code(conn)}/customization"
    form = {"logo": (BytesIO(logo()), "logo.png")}

    assert client.put(f"{theirs}/logo", data=form, headers=staff.owner.headers).status_code == 404
    assert client.put(theirs, json=LOOK, headers=staff.owner.headers).status_code == 404
    assert conn.execute("SELECT count(*) FROM qr_customizations").fetchone() == (0,)


class TestTwoChangesAtOnce:
    """A logo is being stored; a request that changes the colors waits, and is judged together with it."""

    def judged_with_logo(self, app: Flask, conn: Conn, staff: Staff, code: str) -> bool:
        from shared.images.logos import sanitize_logo

        qr_id, put = UUID(code.rpartition("/")[2]), app.test_client().put
        conn.execute("INSERT INTO qr_customizations (qr_code_id) VALUES (%s)", (qr_id,))
        with ThreadPoolExecutor(1) as thread:
            with db.transaction() as own:
                store.save_logo(own, qr_id, sanitize_logo(logo()))
                request = thread.submit(put, f"{code}/customization", json=LOOK, headers=staff.admin.headers)
                wait_until_blocked(conn)
            answer: Any = request.result()
        assert answer.status_code == 200
        return bool(answer.json["has_logo"])

    def test_are_judged_together(self, app: Flask, conn: Conn, staff: Staff, code: str) -> None:
        assert self.judged_with_logo(app, conn, staff, code)

    def test_negative_control_without_the_lock_they_are_not(
        self, app: Flask, conn: Conn, staff: Staff, code: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "lock_customization", lambda *_args: DEFAULT_CUSTOMIZATION)

        assert not self.judged_with_logo(app, conn, staff, code)
