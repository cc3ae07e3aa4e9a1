"""A picture: everything that determines its bytes, and the digest of it all."""

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

Format = Literal["png", "svg", "pdf"]
ErrorCorrection = Literal["L", "M", "Q", "H"]
Style = Literal["squares", "dots", "rounded"]

MIN_SIZE, MAX_SIZE = 100, 2000
"""Pixels of a PNG, user units of an SVG, points of a PDF: what clients may ask for. Drawing has no such limits."""

MAX_TEXT_BYTES = 2953
"""Of text, in UTF-8: what a symbol holds in byte mode at level L. That digits would take less room changes nothing."""

RENDERER_VERSION = "1"
"""Raised with every change that alters pixels, so that no cache and no client keeps a picture of the old kind."""

CONTENT_TYPES: dict[Format, str] = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}


@dataclass(frozen=True)
class ImageSpec:
    """What is to be drawn. Colours are `#RRGGBB`; `logo` is the SHA-256 of the cleaned logo's bytes, in hex.

    The level is drawn exactly as it stands here; who makes a picture with a logo takes it from `rules.effective_level`.
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

    def digest(self) -> str:
        """SHA-256 in hex: equal for equal pictures of one renderer, and known without drawing."""
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
        )
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.format]
