"""Uploaded logos: sanitized, or rejected before they cost memory or time."""

import random
import struct
import subprocess
import sys
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from shared.errors import InvalidLogo
from shared.images.logos import MAX_BYTES, MAX_PIXELS, MAX_SIDE, sanitize_logo
from tests.images.sample_images import image_bytes

RED = (255, 0, 0)


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values).convert(mode)


def sanitized(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(sanitize_logo(data)))
    assert (image.format, image.mode) == ("PNG", "RGBA")
    return image


def rejection(data: bytes) -> str:
    with pytest.raises(InvalidLogo) as rejected:
        sanitize_logo(data)
    (error,) = rejected.value.field_errors
    assert error.loc == "form.logo"
    return error.message


def bomb(width: int = 30_000, height: int = 30_000) -> bytes:
    """Return a well-formed PNG of one color, with one bit per pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    line = bytes(1 + (width + 7) // 8)
    data = b"".join([*(packer.compress(line) for _ in range(height)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_kind_of_png_is_accepted(mode: str) -> None:
    assert sanitized(image_bytes(noise(50, 40, mode))).size == (50, 40)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_kind_of_jpeg_is_accepted(mode: str, progressive: bool) -> None:
    assert sanitized(image_bytes(noise(50, 40, mode), "JPEG", progressive=progressive)).size == (50, 40)


def test_a_cmyk_jpeg_keeps_its_colors() -> None:
    image = sanitized(image_bytes(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue, alpha = image.getpixel((10, 10))  # type: ignore[misc]
    assert (red > 230, green < 30, blue < 30, alpha) == (True, True, True, 255)


def test_gray_of_16_bits_keeps_its_shades() -> None:
    gray = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    image = sanitized(image_bytes(Image.fromarray(gray)))
    assert np.array_equal(np.asarray(image)[:, :, 0], gray >> 8)


def test_transparency_is_preserved() -> None:
    assert sanitized(image_bytes(Image.new("RGBA", (9, 9), (1, 2, 3, 0)))).getpixel((4, 4)) == (1, 2, 3, 0)


def test_sanitizing_is_deterministic_and_idempotent() -> None:
    once = sanitize_logo(image_bytes(noise(64, 64)))
    assert sanitize_logo(image_bytes(noise(64, 64))) == once
    assert sanitize_logo(once) == once


@pytest.mark.parametrize(("width", "height"), [(2000, 2000), (4000, 1000), (3, 200_000)])
def test_a_large_logo_is_scaled_down(width: int, height: int) -> None:
    assert max(sanitized(image_bytes(Image.new("L", (width, height)))).size) == MAX_SIDE


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_metadata_is_removed_and_orientation_applied(kind: str) -> None:
    exif = Image.Exif()
    # Orientation: rotated by 90 degrees.
    exif[0x0112] = 6
    exif[0x010E] = "secret place"
    image = Image.new("RGB", (40, 20), RED)
    options: dict[str, object] = {"exif": exif, "icc_profile": b"secret profile", "comment": b"secret comment"}
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_text("Author", "secret author", zip=False)  # type: ignore[attr-defined]
    data = image_bytes(image, kind, **options)
    assert b"secret" in data

    sanitized_logo = sanitize_logo(data)
    assert b"secret" not in sanitized_logo
    with Image.open(BytesIO(sanitized_logo)) as opened:
        assert opened.size == (20, 40)
        assert not opened.info
        assert not opened.getexif()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        image_bytes(Image.new("P", (10, 10)), "GIF"),
        image_bytes(Image.new("RGB", (10, 10)), "WEBP"),
        image_bytes(Image.new("RGB", (10, 10)), "TIFF"),
        image_bytes(Image.new("RGB", (10, 10)), "BMP"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"GIF89a" + image_bytes(Image.new("RGB", (10, 10))),
    ],
)
def test_other_formats_are_rejected(data: bytes) -> None:
    assert rejection(data) == "Use a PNG or a JPEG."


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_file_is_rejected(kind: str) -> None:
    data = image_bytes(noise(64, 64), kind)
    assert rejection(data[: len(data) // 2]) == "This file is damaged. Export it again."


def test_an_animated_png_is_rejected() -> None:
    frames = [Image.new("RGB", (10, 10), (shade, 0, 0)) for shade in (0, 100, 200)]
    assert (
        rejection(image_bytes(frames[0], save_all=True, append_images=frames[1:]))
        == "Use an image that is not animated."
    )


def test_too_many_bytes_are_rejected() -> None:
    assert "1 MiB" in rejection(image_bytes(noise(10, 10)) + bytes(MAX_BYTES))


def test_too_many_pixels_are_rejected() -> None:
    assert f"{MAX_PIXELS:,}" in rejection(bomb(2001, 2000))
    assert f"{MAX_PIXELS:,}" in rejection(bomb(20_000, 20_000))


def test_a_jpeg_with_a_thousand_scans_is_rejected() -> None:
    data = image_bytes(Image.new("RGB", (64, 64), RED), "JPEG", progressive=True)
    scans = data.index(b"\xff\xda")
    assert "scans" in rejection(data[:scans] + data[scans:-2] * 1000 + data[-2:])


MEASURE = """
import resource, sys
from shared.errors import InvalidLogo
from shared.images.logos import sanitize_logo
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    sanitize_logo(data)
except InvalidLogo as error:
    print(error.field_errors[0].message, file=sys.stderr)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // (1024 if sys.platform == "linux" else 1 << 20))
"""


@pytest.mark.parametrize(
    ("data", "mebibytes"),
    [
        # It would take 3,400 as RGBA.
        (bomb(), 5),
        # The largest logo that is decoded.
        (bomb(2000, 2000), 100),
        (image_bytes(Image.new("RGB", (2000, 2000), RED), "JPEG", progressive=True), 100),
    ],
    ids=["bomb", "png", "jpeg"],
)
def test_memory_is_bounded(data: bytes, mebibytes: int) -> None:
    assert len(data) < 300_000
    measured = subprocess.run([sys.executable, "-c", MEASURE], input=data, capture_output=True, check=True)
    assert int(measured.stdout) <= mebibytes, measured.stderr


def mutated(data: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(min(len(damaged), chance.choice((60, 300, 1 << 20))))
        match chance.randrange(6):
            case 0:
                del damaged[at + 1 :]
            case 1:
                damaged[at:at] = chance.randbytes(chance.randrange(8))
            case _:
                damaged[at] = chance.randrange(256)
    return bytes(damaged)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File")
@pytest.mark.parametrize("seed", [pytest.param(n, marks=[pytest.mark.long] if n else []) for n in range(20)])
def test_a_damaged_logo_is_sanitized_or_rejected(seed: int) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "secret", {0x9003: "2020:01:01"}
    intact = [
        image_bytes(noise(40, 30)),
        image_bytes(noise(40, 30, "P")),
        image_bytes(noise(40, 30, "RGBA"), exif=exif),
        image_bytes(noise(40, 30), "JPEG", exif=exif),
        image_bytes(noise(40, 30, "CMYK"), "JPEG"),
        image_bytes(noise(40, 30), "JPEG", progressive=True),
    ]
    chance = random.Random(seed)
    for _ in range(500):
        try:
            assert sanitize_logo(mutated(chance.choice(intact), chance)).startswith(b"\x89PNG")
        except InvalidLogo:
            continue
