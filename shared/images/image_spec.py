"""An image spec: everything that determines the bytes of an image, and its digest. Pure."""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

Format = Literal["png", "svg", "pdf"]
ErrorCorrection = Literal["L", "M", "Q", "H"]
Style = Literal["squares", "dots", "rounded"]

MIN_SIZE, MAX_SIZE = 100, 2000
"""What clients may request: pixels of a PNG, user units of an SVG, points of a PDF. The renderer has no such limits."""

DEFAULT_DPI = 300
MIN_DPI, MAX_DPI = 72, 2400
"""Pixels per inch that a PNG states, from which programs for print take its size."""

MAX_TEXT_BYTES = 2953
"""Longest text, in bytes of UTF-8: the capacity of a symbol in byte mode at level L, whatever the text."""

RENDERER_VERSION = "2"
"""Part of every digest. Increase it with each change of pixels, so that caches and clients load the new image."""

CONTENT_TYPES: dict[Format, str] = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}


@dataclass(frozen=True)
class ImageSpec:
    """Everything that determines an image. Colors are `#RRGGBB`.

    `logo` is the SHA-256 of the sanitized logo's bytes, in hexadecimal.

    `level` is used as it is. The caller of a spec with a logo takes it from `effective_level`.
    """

    text: str
    format: Format = "png"
    size: int = 300
    level: ErrorCorrection = "M"
    foreground: str = "#000000"
    background: str = "#FFFFFF"
    style: Style = "squares"
    logo: str | None = None
    logo_percent: int = 20
    dpi: int = DEFAULT_DPI

    def digest(self) -> str:
        """Return a SHA-256 in hexadecimal, without rendering. Equal images of one renderer have the same digest."""
        parts = (
            RENDERER_VERSION,
            self.text,
            self.format,
            self.size,
            self.level,
            self.foreground.upper(),
            self.background.upper(),
            self.style,
            self.logo,
            self.logo_percent if self.logo else None,
            self.dpi if self.format == "png" else None,
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.format]


def effective_level(requested: ErrorCorrection, *, logo: bool) -> ErrorCorrection:
    """Return the requested level, or H for an image whose logo covers modules."""
    return "H" if logo else requested
