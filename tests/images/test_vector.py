"""SVG and PDF: the same symbol as in a PNG, rasterized by resvg and pdfium."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from io import BytesIO
from itertools import product

import numpy as np
import pypdfium2  # type: ignore[import-untyped]
import pytest
import resvg_py
import segno
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from shared.images.image_spec import Format, ImageSpec, Style
from shared.images.readback import PIXELS_PER_MODULE, gray_pixels, is_readable
from shared.images.render import render
from shared.images.symbol import encode
from shared.images.vector_paths import outlines
from tests.images.opencv_decoder import opencv_reads
from tests.images.sample_images import LOGO, colors

TEXT = "https://w.example/s/AbCdEfGhIjKl"
SVG = "{http://www.w3.org/2000/svg}"


def rasterize(spec: ImageSpec, data: bytes, across: int) -> NDArray[np.uint8]:
    """Return height x width x (red, green, blue)."""
    if spec.format == "svg":
        return colors(bytes(resvg_py.svg_to_bytes(svg_string=data.decode(), width=across, skip_system_fonts=True)))
    with pypdfium2.PdfDocument(data) as document:
        return np.asarray(document[0].render(scale=across / spec.size).to_pil().convert("RGB"))


@pytest.mark.parametrize("size", [100, 123, 300, 2000])
def test_width_and_height_are_exact(size: int) -> None:
    root = ET.fromstring(render(ImageSpec(TEXT, "svg", size)))  # noqa: S314 - Waymark's own
    assert (root.get("width"), root.get("height")) == (str(size), str(size))
    with pypdfium2.PdfDocument(render(ImageSpec(TEXT, "pdf", size))) as document:
        assert len(document) == 1
        assert document[0].get_size() == (size, size)


@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_modules_are_those_of_the_symbol(kind: Format) -> None:
    spec = ImageSpec(TEXT, kind, 300, foreground="#010280", background="#FFFEF0")
    modules = np.pad(encode(TEXT, "M"), 4)
    pixels = rasterize(spec, render(spec), PIXELS_PER_MODULE * len(modules))
    expected = np.where(modules[:, :, None], (1, 2, 128), (255, 254, 240))
    assert np.array_equal(
        pixels[PIXELS_PER_MODULE // 2 :: PIXELS_PER_MODULE, PIXELS_PER_MODULE // 2 :: PIXELS_PER_MODULE], expected
    )


def test_an_svg_shows_the_pixels_of_segnos() -> None:
    # In a full symbol, both encoders write the same codewords.
    spec = ImageSpec("1" * 41, "svg", 580, level="L")
    pixels = gray_pixels(spec, render(spec))
    references = []
    for mask in range(8):
        output = BytesIO()
        segno.make_qr("1" * 41, error="L", mask=mask, boost_error=False).save(
            output, kind="svg", scale=4, light="white"
        )
        references.append(gray_pixels(spec, output.getvalue()))
    assert any(np.array_equal(pixels, reference) for reference in references)


@pytest.mark.parametrize(
    ("kind", "style", "logo"), [*product(["svg", "pdf"], ["squares", "dots", "rounded"], [None, LOGO])]
)
def test_every_customization_is_readable(kind: Format, style: Style, logo: bytes | None) -> None:
    spec = ImageSpec(
        TEXT,
        kind,
        style=style,
        level="H" if logo else "M",
        logo="0" * 64 if logo else None,
        logo_percent=25,
        foreground="#204080",
        background="#FFFFE0",
    )
    data = render(spec, logo)
    assert is_readable(spec, data)
    assert opencv_reads(spec, data)
    assert not is_readable(replace(spec, text=TEXT + "x"), data)


@pytest.mark.parametrize("kind", ["svg", "pdf"])
@pytest.mark.parametrize("style", ["squares", "dots", "rounded"])
def test_all_formats_show_the_same_pixels(kind: Format, style: Style) -> None:
    # At whole pixels per module, they differ only where edges are smoothed.
    spec = ImageSpec(TEXT, kind, 410, style=style, level="H", logo="0" * 64, foreground="#204080")
    across = 10 * (len(encode(TEXT, "H")) + 8)
    png = replace(spec, format="png", size=across)
    vector = rasterize(spec, render(spec, LOGO), across).astype(int)
    raster = colors(render(png, LOGO)).astype(int)
    assert np.mean(np.abs(vector - raster)) < 2.5


@given(hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.booleans()))
def test_outlines_enclose_exactly_the_dark_modules(dark: NDArray[np.bool_]) -> None:
    height, width = dark.shape
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        f'<path fill="white" d="M0 0H{width}V{height}H0Z"/><path fill-rule="evenodd" d="{outlines(dark)}"/></svg>'
    )
    pixels = colors(bytes(resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)))
    assert np.array_equal(pixels[:, :, 0] == 0, dark)
    assert set(np.unique(pixels)) <= {0, 255}


@pytest.mark.parametrize("across", [37, 100, 333, 3000])
def test_an_svg_has_no_light_lines_at_any_scale(across: int) -> None:
    """Filled row by row, the edges between rows would be lighter where they do not meet a pixel."""
    spec = ImageSpec(TEXT, "svg", 500)
    data = render(spec).replace(b' shape-rendering="crispEdges"', b"")
    module = across / (len(encode(TEXT, "M")) + 8)
    # The inner square of the first finder pattern, without its edges.
    start, end = int(6 * module) + 2, int(9 * module) - 1
    inside = rasterize(spec, data, across)[start:end, start:end]
    assert (inside == 0).all()


def test_square_modules_of_an_svg_are_filled_and_not_stroked() -> None:
    root = ET.fromstring(render(ImageSpec(TEXT, "svg")))  # noqa: S314
    background, modules = root.iter(f"{SVG}path")
    assert (background.get("d"), modules.get("fill-rule")) == ("M0 0H37V37H0Z", "evenodd")
    assert not [element for element in root.iter() if element.get("stroke")]


def test_a_logo_is_embedded_for_programs_of_svg_1_1_and_2() -> None:
    data = render(ImageSpec(TEXT, "svg", level="H", logo="0" * 64), LOGO)
    (image,) = ET.fromstring(data).iter(f"{SVG}image")  # noqa: S314
    assert image.get("{http://www.w3.org/1999/xlink}href") == image.get("href")
    assert str(image.get("href")).startswith("data:image/png;base64,")


def test_viewers_print_a_pdf_at_its_true_size() -> None:
    with pypdfium2.PdfDocument(render(ImageSpec(TEXT, "pdf"))) as document:
        assert not pypdfium2.raw.FPDF_VIEWERREF_GetPrintScaling(document)


def test_a_color_never_becomes_markup() -> None:
    for kind in ("svg", "pdf", "png"):
        with pytest.raises(ValueError, match="RRGGBB"):
            render(ImageSpec(TEXT, kind, foreground='red"><script>alert(1)</script>'))


def test_an_svg_contains_only_shapes() -> None:
    text = "<script>alert(1)</script>"
    for style in ("squares", "dots", "rounded"):
        data = render(ImageSpec(text, "svg", style=style, level="H", logo="0" * 64), LOGO)
        root = ET.fromstring(data)  # noqa: S314
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "g", "path", "image"}
        assert not re.search(rb"script|on\w+=|javascript", data)


@pytest.mark.parametrize("logo", [None, LOGO])
def test_a_pdf_has_valid_offsets_and_no_date(logo: bytes | None) -> None:
    data = render(ImageSpec(TEXT, "pdf", level="H", logo="0" * 64 if logo else None), logo)
    table = int(data.rsplit(b"startxref\n", 1)[1].split()[0])
    assert data[table:].startswith(b"xref\n")
    offsets = [int(line[:10]) for line in data[table:].split(b"\n") if line.endswith(b" n ")]
    assert [data[offset:].split(b" ", 1)[0] for offset in offsets] == [b"%d" % n for n in range(1, len(offsets) + 1)]
    assert b"Date" not in data


def test_the_background_shows_through_a_transparent_logo() -> None:
    for kind in ("svg", "pdf"):
        spec = ImageSpec(TEXT, kind, level="H", logo="0" * 64, logo_percent=30, background="#FFFFC0")
        pixels = rasterize(spec, render(spec, LOGO), 600)
        assert tuple(pixels[300, 300]) == (200, 30, 60)
        assert Image.fromarray(pixels).getpixel((300 - 70, 300 - 40)) == (255, 255, 192)
