"""The images and the manifest of a ZIP, and images that fail without failing the others."""

from typing import Any
from uuid import UUID

import pytest
from PIL import Image

from shared.errors import UnreadableImage
from shared.images import render as rendering
from shared.images import store as images
from shared.images.code_url import code_url
from shared.images.customizations import DEFAULT_CUSTOMIZATION
from shared.images.readback import is_readable
from shared.images.render import render
from shared.images.symbol import encode
from shared.infra.db import Conn
from shared.renders import chunk_codes, store, zip_part
from tests.images.sample_images import LOGO, image_bytes
from tests.renders.factories import (
    add_render,
    customize,
    decode_images,
    events,
    find,
    list_files,
    make_codes,
    read_file,
    read_images,
    read_manifest,
    urls,
    work,
)
from tests.support.concurrency import run_concurrently
from tests.support.factories import code_text, make_code
from workers import renders as worker


@pytest.mark.usefixtures("small_chunks")
def test_a_zip_contains_an_image_per_code_and_a_manifest(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 7)
    render_id = add_render(conn, org, codes)

    work()

    data = read_file(conn, render_id)
    assert decode_images(data) == urls(conn, codes)
    rows = read_manifest(data)
    assert [row["qr_id"] for row in rows] == list(map(str, codes))
    assert [row["file"] for row in rows] == list(read_images(data))
    assert [row["url"] for row in rows] == urls(conn, codes)
    job = find(conn, render_id)
    assert (job.done, job.failed, job.progress) == (7, 0, 1.0)
    assert list_files(render_id) == [job.file_name]


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_an_image_equals_that_of_the_image_endpoint(conn: Conn, org: UUID, kind: Any) -> None:
    default, colored, branded = codes = make_codes(conn, org, 3)
    customize(conn, colored, foreground_color="#123456", style="rounded")
    customize(conn, branded, LOGO, logo_size_percent=15)
    render_id = add_render(conn, org, codes, format=kind, size=410, error_correction="Q")

    work()

    files = read_images(read_file(conn, render_id)).values()
    for code, data in zip(codes, files, strict=True):
        appearance = images.find_appearance(conn, org, code)
        assert appearance is not None
        url = code_url(appearance.code)
        spec = appearance.customization.image_spec(url, kind, 410, "Q")
        assert data == render(spec, LOGO if code == branded else None)
        has_default_appearance = data == render(DEFAULT_CUSTOMIZATION.image_spec(url, kind, 410, "Q"))
        assert has_default_appearance is (code == default)


@pytest.mark.usefixtures("small_chunks")
def test_two_renders_of_the_same_codes_have_the_same_bytes(conn: Conn, org: UUID) -> None:
    codes = make_codes(conn, org, 7)
    first, second = (add_render(conn, org, codes) for _ in range(2))
    conn.execute("UPDATE render_jobs SET created_at = '2026-01-02T03:04:06Z'")

    run_concurrently([work] * 3)

    assert read_file(conn, first) == read_file(conn, second)


def test_a_manifest_contains_no_formulas(conn: Conn, org: UUID) -> None:
    code = make_code(conn, org, description='=HYPERLINK("http://evil")\nmore, "quoted"')
    render_id = add_render(conn, org, [code])

    work()

    (row,) = read_manifest(read_file(conn, render_id))
    assert row["description"] == '\'=HYPERLINK("http://evil")\nmore, "quoted"'


def test_image_names_differ_in_more_than_case(conn: Conn, org: UUID) -> None:
    codes = [make_code(conn, org, code=text) for text in ("CON", "con", "nul", "a-B", "A-b", "___")]
    render_id = add_render(conn, org, codes)

    work()

    names = list(read_images(read_file(conn, render_id)))
    assert names == ["1-CON.png", "2-con.png", "3-nul.png", "4-a-B.png", "5-A-b.png", "6-___.png"]


# Logos that change ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"output": "label_sheet", "template": "a4-2x4", "caption": "none"}], ids=str)
@pytest.mark.parametrize(("replaced", "failed"), [(1, 0), (zip_part.MAX_RELOADS, 0), (zip_part.MAX_RELOADS + 1, 1)])
def test_a_code_is_loaded_again_if_its_logo_is_replaced(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch, options: Any, replaced: int, failed: int
) -> None:
    branded, other = make_codes(conn, org, 2)
    customize(conn, branded, LOGO)
    logos = [image_bytes(Image.new("RGB", (20 + n, 20), "red")) for n in range(replaced)]
    get_logo = images.get_logo

    def replace_logo(own: Conn, code: UUID, digest: str) -> bytes | None:
        if logos:
            customize(conn, code, logos.pop())
        return get_logo(own, code, digest)

    monkeypatch.setattr(images, "get_logo", replace_logo)
    render_id = add_render(conn, org, [branded, other], **options)

    work()

    job = find(conn, render_id)
    assert (job.status, job.done, job.failed) == ("done", 2 - failed, failed)


def test_a_code_that_is_deleted_during_its_render_fails_alone(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    branded, other = make_codes(conn, org, 2)
    customize(conn, branded, LOGO)

    def delete(*_: Any) -> None:
        conn.execute("UPDATE qr_codes SET deleted_at = now() WHERE id = %s", (branded,))

    monkeypatch.setattr(images, "get_logo", delete)
    render_id = add_render(conn, org, [branded, other])

    work()

    assert store.list_errors(conn, render_id) == [store.FailedCode(branded, zip_part.DELETED)]
    assert find(conn, render_id).done == 1


# Images that fail -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", [{}, {"output": "label_sheet", "template": "a4-3x8", "caption": "code"}])
def test_a_rotating_code_fails_alone(conn: Conn, org: UUID, output: Any) -> None:
    """It may have started to rotate after the render was created."""
    rotating, *_ = codes = [make_code(conn, org, rotating=True), make_code(conn, org)]
    render_id = add_render(conn, org, codes, **output)

    work()

    job, (error,) = find(conn, render_id), store.list_errors(conn, render_id)
    assert (job.status, job.done, job.failed) == ("done", 1, 1)
    assert (error.qr_id, "This code rotates" in error.message) == (rotating, True)


def test_an_unreadable_image_fails_alone(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = make_codes(conn, org, 4)
    bad = code_url(code_text(conn, codes[1]))
    monkeypatch.setattr(zip_part, "is_readable", lambda spec, data: spec.text != bad and is_readable(spec, data))
    render_id = add_render(conn, org, codes)

    work()

    job = find(conn, render_id)
    assert (job.status, job.done, job.failed) == ("done", 3, 1)
    (error,) = store.list_errors(conn, render_id)
    assert (error.qr_id, error.message) == (codes[1], zip_part.UNREADABLE)
    data = read_file(conn, render_id)
    assert len(read_images(data)) == 3
    assert [row["error"] for row in read_manifest(data)] == ["", error.message, "", ""]
    assert read_manifest(data)[1]["file"] == ""


def test_a_wrong_image_is_detected_from_its_bytes(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode_wrongly(text: str, level: Any) -> Any:
        dark = encode(text, level)
        dark[8:-8, 8:-8] = True
        return dark

    monkeypatch.setattr(rendering, "encode", encode_wrongly)
    codes = make_codes(conn, org, 2)
    render_id = add_render(conn, org, codes)

    work()

    assert store.list_errors(conn, render_id) == [store.FailedCode(code, zip_part.UNREADABLE) for code in codes]


def test_a_symbol_that_does_not_fit_fails_alone(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = make_code(conn, org, code="abc"), make_code(conn, org, code="x" * 64)
    # As with a long PUBLIC_URL.
    monkeypatch.setattr(chunk_codes, "code_url", lambda code: "https://x.example/" + code * 12)
    render_id = add_render(conn, org, [short, long], size=100, error_correction="H")

    work()

    job = find(conn, render_id)
    assert (job.status, job.done, job.failed) == ("done", 1, 1)
    (error,) = store.list_errors(conn, render_id)
    assert error.qr_id == long
    assert "at least 149 pixels" in error.message


def test_a_render_without_images_fails(conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> bytes:
        raise UnreadableImage

    monkeypatch.setattr(zip_part, "render", fail)
    render_id = add_render(conn, org, make_codes(conn, org, 4))

    work()

    job = find(conn, render_id)
    assert (job.status, job.failed, job.file_name) == ("failed", 4, None)
    assert job.reason == worker.NO_IMAGES
    assert events(conn)[-1][1]["status"] == "failed"
    assert list_files(render_id) == []


def test_an_unexpected_error_fails_one_image_and_reveals_nothing(
    conn: Conn, org: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = make_codes(conn, org, 2)
    bad = code_url(code_text(conn, codes[0]))

    def fail(spec: Any, logo: bytes | None) -> bytes:
        if spec.text == bad:
            raise ZeroDivisionError("/srv/secret/path")
        return render(spec, logo)

    monkeypatch.setattr(zip_part, "render", fail)
    render_id = add_render(conn, org, codes)

    work()

    assert store.list_errors(conn, render_id) == [store.FailedCode(codes[0], zip_part.INTERNAL_ERROR)]
    assert find(conn, render_id).status == "done"
