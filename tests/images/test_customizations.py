"""Customizations over HTTP."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from PIL import Image, ImageDraw

from shared.images import render, store, verification
from shared.images.customizations import DEFAULT_CUSTOMIZATION
from shared.images.image_spec import ImageSpec
from shared.images.logos import sanitize_logo
from shared.infra import db
from shared.infra.db import Conn
from tests.images.camera_view import decode, open_png
from tests.support.callers import Staff
from tests.support.concurrency import wait_until_blocked
from tests.support.factories import make_code
from web.api import customizations

DEFAULTS: dict[str, Any] = {
    "foreground_color": "#000000",
    "background_color": "#FFFFFF",
    "style": "squares",
    "logo_size_percent": 20,
    "has_logo": False,
    "contrast_ratio": 21.0,
}
CUSTOM: dict[str, Any] = {
    "foreground_color": "#1a2B3c",
    "background_color": "#FFF8E7",
    "style": "dots",
    "logo_size_percent": 25,
}
CUSTOM_RATIO = {"contrast_ratio": 13.63}
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
    def send(**fields: Any) -> Any:
        return client.put(f"{code}/customization", json=fields, headers=staff.admin.headers)

    return send


@pytest.fixture
def upload(client: Any, staff: Staff, code: str) -> Callable[..., Any]:
    def send(data: bytes, name: str = "logo.png", field: str = "logo") -> Any:
        return client.put(
            f"{code}/customization/logo", data={field: (BytesIO(data), name)}, headers=staff.admin.headers
        )

    return send


@pytest.fixture
def customization(client: Any, staff: Staff, code: str) -> Callable[[], Any]:
    return lambda: client.get(f"{code}/customization", headers=staff.member.headers).json


@pytest.fixture
def get_image(client: Any, staff: Staff, code: str) -> Callable[..., Any]:
    def send(**query: Any) -> Any:
        return client.get(f"{code}/image", query_string=query, headers=staff.member.headers)

    return send


def colors(data: bytes) -> set[str]:
    counts = open_png(data).convert("RGB").getcolors(10_000)
    return {"#{:02X}{:02X}{:02X}".format(*color) for _, color in counts or ()}  # type: ignore[misc]


def has_red(data: bytes) -> bool:
    """True if the image shows the crimson of the logo, also after the losses of JPEG."""
    channels = [tuple(bytes.fromhex(color[1:])) for color in colors(data)]
    return any(red > 180 and green < 80 and blue < 110 for red, green, blue in channels)


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


def test_a_code_of_another_organization_is_not_found(
    client: Any, conn: Conn, staff: Staff, put: Any, customization: Any
) -> None:
    other_code = f"{staff.codes}/{make_code(conn)}/customization"
    form = {"logo": (BytesIO(logo()), "logo.png")}

    assert client.put(f"{other_code}/logo", data=form, headers=staff.owner.headers).status_code == 404
    assert client.put(other_code, json=CUSTOM, headers=staff.owner.headers).status_code == 404
    assert conn.execute("SELECT count(*) FROM qr_customizations").fetchone() == (0,)


class OpenTransactions:
    """Renders as the service does, and counts the transactions that are open meanwhile, in the whole database."""

    def __init__(self, conn: Conn) -> None:
        self._conn = conn
        self.counts: list[int] = []

    def render(self, spec: ImageSpec, logo: bytes | None = None) -> bytes:
        (count,) = self._conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in trans%'"
        ).fetchone() or (0,)
        self.counts.append(count)
        return render.render(spec, logo)


@pytest.fixture
def transactions(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> OpenTransactions:
    probe = OpenTransactions(conn)
    monkeypatch.setattr(verification, "render", probe.render)
    return probe


class TestRendering:
    def test_opens_no_transaction(self, put: Any, upload: Any, transactions: OpenTransactions) -> None:
        assert put(**CUSTOM).status_code == 200
        assert upload(logo()).status_code == 200

        assert transactions.counts == [0, 0]

    def test_negative_control_the_probe_sees_an_open_transaction(self, transactions: OpenTransactions) -> None:
        with db.transaction() as conn:
            conn.execute("SELECT")
            transactions.render(ImageSpec("a"))

        assert transactions.counts == [1]


class TestConcurrentChanges:
    """A transaction stores a logo. A request that changes the colors waits for it, and is verified with that logo."""

    @pytest.fixture
    def specs(self, monkeypatch: pytest.MonkeyPatch) -> list[ImageSpec]:
        """Every spec that was rendered."""
        specs: list[ImageSpec] = []

        def record(spec: ImageSpec, logo: bytes | None = None) -> bytes:
            specs.append(spec)
            return render.render(spec, logo)

        monkeypatch.setattr(verification, "render", record)
        return specs

    def put_during_upload(self, app: Flask, conn: Conn, staff: Staff, code: str) -> Any:
        qr_id, put = UUID(code.rpartition("/")[2]), app.test_client().put
        conn.execute("INSERT INTO qr_customizations (qr_code_id) VALUES (%s)", (qr_id,))
        with ThreadPoolExecutor(1) as thread:
            with db.transaction() as uploading:
                store.save_logo(uploading, qr_id, sanitize_logo(logo()))
                request = thread.submit(put, f"{code}/customization", json=CUSTOM, headers=staff.admin.headers)
                wait_until_blocked(conn)
            return request.result()

    def test_are_verified_together(
        self, app: Flask, conn: Conn, staff: Staff, code: str, specs: list[ImageSpec]
    ) -> None:
        response = self.put_during_upload(app, conn, staff, code)

        assert (response.status_code, response.json["has_logo"]) == (200, True)
        assert [spec.logo is not None for spec in specs] == [False, True]

    def test_negative_control_without_the_lock_they_are_not(
        self, app: Flask, conn: Conn, staff: Staff, code: str, specs: list[ImageSpec], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "lock_customization", lambda *_args: DEFAULT_CUSTOMIZATION)

        response = self.put_during_upload(app, conn, staff, code)

        assert (response.status_code, response.json["has_logo"]) == (200, False)
        assert [spec.logo is not None for spec in specs] == [False]

    def test_a_renamed_code_is_verified_with_its_new_text(
        self, conn: Conn, code: str, put: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts: list[str] = []

        def rename(spec: ImageSpec, logo: bytes | None = None) -> bytes:
            texts.append(spec.text.rpartition("/")[2])
            conn.execute("UPDATE qr_codes SET code = 'spy124' WHERE id = %s", (code.rpartition("/")[2],))
            return render.render(spec, logo)

        monkeypatch.setattr(verification, "render", rename)

        assert put(**CUSTOM).status_code == 200
        assert texts == ["spy123", "spy124"]

    def test_endless_changes_end_the_request(
        self, conn: Conn, code: str, put: Any, customization: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        texts: list[str] = []

        def rename(spec: ImageSpec, logo: bytes | None = None) -> bytes:
            texts.append(spec.text)
            conn.execute("UPDATE qr_codes SET code = code || 'x' WHERE id = %s", (code.rpartition("/")[2],))
            return render.render(spec, logo)

        monkeypatch.setattr(verification, "render", rename)

        response = put(**CUSTOM)

        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert len(texts) == customizations.MAX_TRIES
        assert customization() == DEFAULTS
