"""The brand color and the logo of an organization, and the files that anyone can get."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.images.brand_colors import (
    DARK_PAPER,
    LIGHT_PAPER,
    ON_DARK,
    ON_LIGHT,
    TEXT_CONTRAST,
    page_colors,
    style_sheet,
)
from shared.images.contrast import contrast_ratio
from shared.infra.db import Conn
from shared.organizations import usage
from tests.images.camera_view import open_png
from tests.images.designs import has_red, logo
from tests.support.app_settings import change_settings
from tests.support.callers import Staff


@pytest.fixture
def slug(conn: Conn, staff: Staff) -> str:
    conn.execute("UPDATE organizations SET slug = 'city-museum' WHERE id = %s", (staff.org_id,))
    return "city-museum"


@pytest.fixture
def patch(client: Any, staff: Staff) -> Callable[..., Any]:
    return lambda **fields: client.patch(staff.path, json=fields, headers=staff.owner.headers)


@pytest.fixture
def upload(client: Any, staff: Staff) -> Callable[..., Any]:
    def send(data: bytes, field: str = "logo") -> Any:
        form = {field: (BytesIO(data), "logo.png")}
        return client.put(f"{staff.path}/logo", data=form, headers=staff.owner.headers)

    return send


@given(st.integers(0, 2**24 - 1).map("#{:06X}".format))
def test_page_colors_are_readable_on_both_papers(color: str) -> None:
    light, dark = page_colors(color)

    for shown, paper, text in ((light, LIGHT_PAPER, ON_LIGHT), (dark, DARK_PAPER, ON_DARK)):
        assert contrast_ratio(shown, paper) >= TEXT_CONTRAST
        assert contrast_ratio(text, shown) >= TEXT_CONTRAST
    if contrast_ratio(color, LIGHT_PAPER) >= TEXT_CONTRAST:
        assert light == color
    if contrast_ratio(color, DARK_PAPER) >= TEXT_CONTRAST:
        assert dark == color


def test_a_color_is_kept_as_given_and_adjusted_for_pages(client: Any, staff: Staff, patch: Callable[..., Any]) -> None:
    changed = patch(color="#f2a900").json

    assert changed["color"] == "#f2a900"
    assert (changed["color_light"], changed["color_dark"]) == page_colors("#f2a900")
    assert client.get(staff.path, headers=staff.member.headers).json["color"] == "#f2a900"
    assert patch(name="Museum").json["color"] == "#f2a900", "an absent field changes nothing"
    removed = patch(color=None).json
    assert removed["color"] is removed["color_light"] is removed["color_dark"] is None


@pytest.mark.parametrize("color", ["red", "#FFF", "#00000000", "url(//evil)", "#000000;}", 0], ids=str)
def test_other_colors_are_refused(client: Any, slug: str, patch: Callable[..., Any], color: Any) -> None:
    response = patch(color=color)

    assert (response.status_code, response.json["errors"][0]["loc"]) == (422, "body.color")
    assert client.get(f"/b/{slug}/brand.css").status_code == 404


def test_the_style_sheet_follows_the_color(client: Any, slug: str, patch: Callable[..., Any]) -> None:
    patch(color="#F2A900")
    first = client.get(f"/b/{slug}/brand.css?v=1")
    etag = first.headers["ETag"]

    assert (first.status_code, first.content_type) == (200, "text/css; charset=utf-8")
    assert first.text == style_sheet(*page_colors("#F2A900"))
    assert first.text.count("--") == 2
    assert first.headers["Cache-Control"] == "public, max-age=86400"
    assert client.get(f"/b/{slug}/brand.css", headers={"If-None-Match": etag}).status_code == 304
    patch(color="#0E5A48")
    assert client.get(f"/b/{slug}/brand.css", headers={"If-None-Match": etag}).headers["ETag"] != etag


def test_a_logo_from_upload_to_removal(
    client: Any, conn: Conn, staff: Staff, slug: str, upload: Callable[..., Any]
) -> None:
    uploaded = upload(logo(size=700))
    url = uploaded.json["logo_url"]

    shown = client.get(url)
    assert (uploaded.status_code, shown.status_code, shown.content_type) == (200, 200, "image/png")
    assert url.startswith(f"/b/{slug}/logo?v=")
    assert open_png(shown.data).size == (600, 600)
    assert has_red(shown.data)
    assert shown.headers["Cache-Control"] == "public, max-age=86400"
    not_modified = client.get(url, headers={"If-None-Match": shown.headers["ETag"]})
    assert (not_modified.status_code, not_modified.data) == (304, b"")
    assert upload(logo(color="navy")).json["logo_url"] != url
    for _ in range(2):
        assert client.delete(f"{staff.path}/logo", headers=staff.owner.headers).status_code == 204
    assert client.get(url).status_code == 404
    assert client.get(staff.path, headers=staff.owner.headers).json["logo_url"] is None
    actions = conn.execute("SELECT action FROM audit_log WHERE org_id = %s ORDER BY id", (staff.org_id,)).fetchall()
    assert actions == [("logo.set",), ("logo.set",), ("logo.removed",)]
    assert conn.execute("SELECT logo_bytes FROM organization_usage").fetchall() == [(0,)]


def test_a_file_that_is_no_logo_is_refused(client: Any, staff: Staff, upload: Callable[..., Any]) -> None:
    assert upload(b"<svg/>").json["errors"][0]["loc"] == "form.logo"
    assert upload(logo(), field="image").status_code == 422
    assert upload(logo().ljust(2**20 + 1, b"\x00")).status_code == 413
    data = {"json": {"logo": "https://evil.example/logo.png"}}
    assert client.put(f"{staff.path}/logo", headers=staff.owner.headers, **data).status_code == 415
    form = {"logo": (BytesIO(logo()), "logo.png")}
    assert client.put(f"{staff.path}/logo", data=form, headers=staff.admin.headers).status_code == 403


def test_a_logo_counts_for_the_quota_of_files(
    app: Any, conn: Conn, staff: Staff, upload: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MEGABYTE", 1)
    change_settings(app, monkeypatch, max_files_mb_per_organization=100)

    response = upload(logo())

    assert (response.status_code, response.json["quota"]["limit"]) == (409, 100)
    assert conn.execute("SELECT logo_digest FROM organizations WHERE id = %s", (staff.org_id,)).fetchone() == (None,)


def test_only_an_open_organization_with_this_slug_has_files(
    client: Any, conn: Conn, staff: Staff, slug: str, patch: Callable[..., Any], upload: Callable[..., Any]
) -> None:
    patch(color="#F2A900")
    upload(logo())
    files = [f"/b/{slug}/logo", f"/b/{slug}/brand.css"]

    assert [client.get(path).status_code for path in files] == [200, 200]
    assert [client.get(path.replace(slug, "unknown")).status_code for path in files] == [404, 404]
    patch(slug="new-museum")
    assert [client.get(path).status_code for path in files] == [404, 404], "an alias has none"
    conn.execute("UPDATE organizations SET closed_at = now(), slug = %s WHERE id = %s", (slug, staff.org_id))
    assert [client.get(path).status_code for path in files] == [404, 404]


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("color = '#000000'", "organizations_colors"),
        ("color = 'red', color_light = '#000000', color_dark = '#FFFFFF'", "organizations_color_check"),
        ("color = '#000000', color_light = '}', color_dark = '#FFFFFF'", "organizations_color_light_check"),
        ("logo = 'x'", "organizations_logo_pair"),
    ],
)
def test_the_table_accepts_no_other_branding(conn: Conn, staff: Staff, change: str, constraint: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as error:
        conn.execute(f"UPDATE organizations SET {change}")

    assert error.value.diag.constraint_name == constraint
