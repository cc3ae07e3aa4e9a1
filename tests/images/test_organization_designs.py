"""The design of an organization, which its codes have without a customization."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from flask import Flask

from shared.images import render, verification
from shared.infra.db import Conn
from shared.organizations import usage
from tests.images.camera_view import decode
from tests.images.designs import CUSTOM, CUSTOM_RATIO, DEFAULTS, colors, has_red, logo
from tests.renders.factories import add_render, read_file, read_images, work
from tests.support.app_settings import change_settings
from tests.support.callers import Staff, make_staff
from tests.support.factories import make_code


@pytest.fixture
def design(client: Any, staff: Staff) -> Callable[..., Any]:
    """Set the design of the organization: `design(style="dots")`."""
    return lambda **fields: client.put(f"{staff.path}/customization", json=fields, headers=staff.admin.headers)


@pytest.fixture
def brand(client: Any, staff: Staff) -> Callable[[], Any]:
    """Upload a logo for all codes."""

    def send() -> Any:
        form = {"logo": (BytesIO(logo()), "logo.png")}
        return client.put(f"{staff.path}/customization/logo", data=form, headers=staff.admin.headers)

    return send


def logo_bytes(conn: Conn, staff: Staff) -> tuple[int, int]:
    """Return the counted and the stored bytes of logos."""
    row = conn.execute(
        """
        SELECT u.logo_bytes, (SELECT coalesce(sum(octet_length(logo)), 0) FROM qr_customizations)
            + (SELECT coalesce(sum(octet_length(logo)), 0) FROM organization_designs)
        FROM organization_usage u WHERE org_id = %s
        """,
        (staff.org_id,),
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def test_codes_without_a_customization_have_the_design(
    client: Any, staff: Staff, design: Any, brand: Any, customization: Any, get_image: Any
) -> None:
    plain = get_image(size=600)

    changed = design(**CUSTOM)
    colored = get_image(size=600)
    branded = brand()
    with_logo = get_image(size=600)

    assert changed.json == CUSTOM | CUSTOM_RATIO | {"has_logo": False}
    assert branded.json == customization() == CUSTOM | CUSTOM_RATIO | {"has_logo": True}
    assert len({image.headers["ETag"] for image in (plain, colored, with_logo)}) == 3
    assert {"#1A2B3C", "#FFF8E7"} <= colors(colored.data)
    assert has_red(with_logo.data)
    assert decode(with_logo.data)[1] == "H"
    business = client.get(f"{staff.path}/qr-business/image", headers=staff.member.headers)
    assert has_red(business.data)
    for _ in range(2):
        assert client.delete(f"{staff.path}/customization", headers=staff.admin.headers).status_code == 204
    assert get_image(size=600).headers["ETag"] == plain.headers["ETag"]


def test_a_customization_replaces_the_design_whole(
    client: Any, conn: Conn, staff: Staff, code: str, design: Any, brand: Any, put: Any, customization: Any
) -> None:
    design(**CUSTOM)
    brand()

    assert put(style="rounded").json == DEFAULTS | {"style": "rounded", "has_logo": True}, "the logo is unchanged"
    design(foreground_color="#000080")
    assert customization() == DEFAULTS | {"style": "rounded", "has_logo": True}
    counted, stored = logo_bytes(conn, staff)
    assert counted == stored
    client.delete(f"{code}/customization", headers=staff.admin.headers)
    assert customization()["foreground_color"] == "#000080"
    client.delete(f"{staff.path}/customization", headers=staff.admin.headers)
    assert logo_bytes(conn, staff) == (0, 0)


def test_a_code_can_have_the_design_without_its_logo(
    client: Any, conn: Conn, staff: Staff, code: str, design: Any, brand: Any, customization: Any
) -> None:
    design(**CUSTOM)
    brand()

    assert client.delete(f"{code}/customization/logo", headers=staff.admin.headers).status_code == 204

    assert customization() == CUSTOM | CUSTOM_RATIO | {"has_logo": False}
    counted, stored = logo_bytes(conn, staff)
    assert counted == stored > 0


def test_a_copied_logo_counts_for_the_quota(
    app: Flask, conn: Conn, staff: Staff, brand: Any, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    brand()
    monkeypatch.setattr(usage, "MEGABYTE", 1)
    change_settings(app, monkeypatch, max_files_mb_per_organization=logo_bytes(conn, staff)[0] + 10)

    assert put(style="dots").status_code == 409
    assert conn.execute("SELECT FROM qr_customizations").rowcount == 0


def test_renders_have_the_design(conn: Conn, staff: Staff, design: Any, brand: Any) -> None:
    code = make_code(conn, staff.org_id)
    design(**CUSTOM)
    brand()
    render_id = add_render(conn, staff.org_id, [code], size=600)
    work()

    (image,) = read_images(read_file(conn, render_id)).values()
    assert has_red(image)
    assert {"#1A2B3C", "#FFF8E7"} <= colors(image)


def test_an_unreadable_design_is_not_stored(
    client: Any, staff: Staff, design: Any, brand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert design(foreground_color="#FFD700").json["errors"][0]["loc"] == "body.foreground_color"
    monkeypatch.setattr(verification, "is_readable", lambda *_args: False)

    assert design(**CUSTOM).json["errors"][0]["loc"] == "body"
    assert brand().json["errors"][0]["loc"] == "form.logo"
    stored = client.get(f"{staff.path}/customization", headers=staff.member.headers).json
    assert stored == DEFAULTS


def test_another_organization_keeps_its_design(app: Flask, client: Any, conn: Conn, staff: Staff, design: Any) -> None:
    other = make_staff(app, conn)

    design(**CUSTOM)

    assert client.get(f"{other.path}/customization", headers=other.member.headers).json == DEFAULTS
    path = f"{other.codes}/{make_code(conn, other.org_id)}/customization"
    assert client.get(path, headers=other.member.headers).json == DEFAULTS
    denied = client.put(f"{other.path}/customization", json=CUSTOM, headers=staff.owner.headers)
    assert denied.status_code == 403


def test_preview_reads_a_short_and_a_long_code_and_stores_nothing(
    client: Any, staff: Staff, design: Any, brand: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    design(**CUSTOM)
    brand()
    stored = client.get(f"{staff.path}/customization", headers=staff.admin.headers).json
    verified: list[str] = []

    def record(spec: Any, logo: bytes | None = None) -> bytes:
        verified.append(spec.text)
        return render.render(spec, logo)

    monkeypatch.setattr(verification, "render", record)

    def preview(**form: Any) -> Any:
        path = f"{staff.path}/customization/preview"
        return client.post(path, data=form, content_type="multipart/form-data", headers=staff.admin.headers)

    shown, refused = preview(foreground_color="#14532D", remove_logo="true"), preview(foreground_color="#FFD700")

    assert (shown.status_code, shown.content_type, shown.headers["X-Error-Correction"]) == (200, "image/svg+xml", "M")
    assert b"#14532d" in shown.data.lower()
    assert [len(text.rpartition("/")[2]) > 64 for text in verified[:2]] == [False, True]
    assert (refused.status_code, list(refused.json["suggestion"])) == (422, ["foreground_color"])
    assert preview().headers["X-Error-Correction"] == "H"
    assert client.get(f"{staff.path}/customization", headers=staff.admin.headers).json == stored
