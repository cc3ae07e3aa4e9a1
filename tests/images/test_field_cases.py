"""Texts and logos of bug reports about other projects, each with the outcome that a standard demands."""

from dataclasses import replace

import numpy as np
import pytest
import zxingcpp
from numpy.typing import NDArray

from shared.errors import InvalidLogo, TextTooLong
from shared.images.image_spec import ErrorCorrection, Format, ImageSpec
from shared.images.logos import sanitize_logo
from shared.images.readback import gray_pixels
from shared.images.render import render
from shared.images.symbol import encode, version
from tests.cases.files import logo, payload, payloads
from tests.images.opencv_decoder import opencv_reads
from tests.images.sample_images import colors
from tests.images.test_vector import rasterize

QR = zxingcpp.BarcodeFormats(zxingcpp.BarcodeFormat.QRCode)


def read(spec: ImageSpec) -> zxingcpp.Barcode:
    """Return what zxing-cpp reads. OpenCV reads the same text."""
    data = render(spec)
    assert opencv_reads(spec, data)
    (barcode,) = zxingcpp.read_barcodes(gray_pixels(spec, data), formats=QR)
    return barcode


@pytest.mark.parametrize(
    ("name", "highest_version"),
    [
        # EPC069-12, section 2: level M, version 13 at most, 331 bytes.
        ("w09-epc.txt", 13),
        ("w09-epc-trailing.txt", 13),
        ("w09-epc-331.txt", 13),
        ("w10-wifi.txt", 40),
        ("w11-vcard.vcf", 40),
        # Swiss Implementation Guidelines QR-bill: level M, version 25 at most.
        ("w11-swiss-qr-bill.txt", 25),
    ],
)
def test_payload_is_read_byte_for_byte(name: str, highest_version: int) -> None:
    text = payload(name)
    barcode = read(ImageSpec(text, size=1000))
    assert (barcode.bytes, barcode.ec_level) == (text.encode(), "M")
    assert version(encode(text, "M")) <= highest_version


@pytest.mark.parametrize("text", payloads("w12-texts.json") + payloads("w12-exact.json"))
def test_text_is_read_as_it_was_given(text: str) -> None:
    """Nothing is normalized, trimmed or changed. An ASCII text has no ECI, whose number some scanners print."""
    barcode = read(ImageSpec(text, size=1000))
    assert barcode.bytes.decode() == text
    # ]Q1: without an ECI (ISO/IEC 15424).
    assert barcode.symbology_identifier == "]Q1" or not text.isascii()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("月〜金", "utf-8"),  # JIS X 0208 and Windows-31J have different wave dashes
        ("東京〜大阪", "utf-8"),
        *((f"あ{character}", "utf-8") for character in "\u301c\u2212\u2016\xa2\xa3\xac\uff5e\uff3c"),
        ("点茗", "utf-8"),  # Chinese
        ("东京", "utf-8"),
        ("Ελλάδα", "utf-8"),
        ("Москва", "utf-8"),
        ("東京", "utf-8"),  # without kana, it may be Chinese
        ("あいうえお", "shift_jis"),
        ("東京へようこそ。", "shift_jis"),
        ("カタカナ・ひらがな「漢字」", "shift_jis"),
        ("ＡＢＣです", "shift_jis"),
        ("あA", "utf-8"),
    ],
)
def test_kanji_mode_is_for_japanese_text_that_all_readers_agree_on(text: str, encoding: str) -> None:
    spec = ImageSpec(text)
    barcode = read(spec)
    assert barcode.text == text
    assert barcode.bytes == text.encode(encoding)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("w14-L-2953-ascii.txt", "L"),
        ("w14-L-2953-utf8.txt", "L"),
        ("w14-L-2952-emoji.txt", "L"),
        ("w14-M-2331.txt", "M"),
        ("w14-H-1273.txt", "H"),
    ],
)
def test_the_published_capacity_fits(name: str, level: ErrorCorrection) -> None:
    """ISO/IEC 18004:2015, table 7, version 40."""
    text = payload(name)
    spec = ImageSpec(text, size=1000, level=level)
    assert gray_pixels(spec, render(spec)).shape == (1000, 1000)
    assert read(spec).bytes == text.encode()


@pytest.mark.parametrize(
    ("name", "level", "limit"), [("w14-L-2954-ascii.txt", "L", "2,953"), ("w14-H-1274.txt", "H", "1,273")]
)
def test_one_byte_more_names_the_limit(name: str, level: ErrorCorrection, limit: str) -> None:
    with pytest.raises(TextTooLong) as refused:
        render(ImageSpec(payload(name), level=level))
    assert f"{limit} bytes" in refused.value.field_errors[0].message


RED, BLUE = (192, 0, 0), (0, 0, 192)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
@pytest.mark.parametrize(
    "name",
    [
        "w25-cmyk-adobe.jpg",
        "w25-exif6.jpg",
        "w25-progressive.jpg",
        "w25-mpo-phone.jpg",
        "w25-interlaced.png",
        "w25-palette-trns.png",
        "w25-wide.png",
    ],
)
def test_a_logo_looks_as_in_its_file(name: str, kind: Format) -> None:
    """Red on the left, blue on the right, upright, with its proportions. Transparent parts show the background."""
    sanitized = sanitize_logo(logo(name))
    spec = ImageSpec("https://w.example/s/AbC", kind, 1000, "H", logo="0" * 64, logo_percent=30)
    pixels = rasterize_any(spec, render(spec, sanitized)).astype(int)
    is_red, is_blue = (np.abs(pixels - color).max(axis=2) <= 12 for color in (RED, BLUE))
    red, blue = np.argwhere(is_red), np.argwhere(is_blue)
    assert red[:, 1].min() < blue[:, 1].min()
    assert blue[:, 1].min() == pytest.approx(500, abs=2)
    height, width = np.ptp(np.concatenate([red, blue]), axis=0)
    expected = 6 if name == "w25-wide.png" else 1
    assert width / height == pytest.approx(expected, rel=0.1)
    # Nothing within the logo is black: neither a transparent part nor a color in negative.
    (top, left), (bottom, right) = (np.concatenate([red, blue]).min(axis=0), np.concatenate([red, blue]).max(axis=0))
    assert not (pixels[top + 3 : bottom - 3, left + 3 : right - 3].max(axis=2) < 30).any()


@pytest.mark.parametrize(
    ("name", "message"), [("w25-animated.png", "animated"), ("w25-webp-named.png", "a PNG or a JPEG")]
)
def test_a_logo_of_another_kind_is_refused(name: str, message: str) -> None:
    with pytest.raises(InvalidLogo) as refused:
        sanitize_logo(logo(name))
    assert message in refused.value.field_errors[0].message


def test_a_white_logo_stays_white() -> None:
    sanitized = sanitize_logo(logo("w25-white-on-transparent.png"))
    dark = ImageSpec("https://w.example/s/AbC", "png", 1000, "H", background="#FFFF00", logo="0" * 64, logo_percent=30)
    pixels = rasterize_any(dark, render(dark, sanitized))
    assert (pixels[450:550, 450:550] == 255).all(axis=2).any()
    plain = replace(dark, background="#FFFFFF")
    assert (rasterize_any(plain, render(plain, sanitized))[460:540, 460:540].min(axis=2) > 200).any()


def rasterize_any(spec: ImageSpec, data: bytes) -> NDArray[np.uint8]:
    """Return 1,000 x 1,000 x (red, green, blue)."""
    return colors(data) if spec.format == "png" else rasterize(spec, data, 1000)
