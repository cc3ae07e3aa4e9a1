"""The appearance that an organization chooses for a code's image. Pure."""

from dataclasses import dataclass

from shared.errors import Unavailable
from shared.images.image_spec import ErrorCorrection, Format, ImageSpec, Style, effective_level


class CustomizationChanged(Unavailable):
    """Other requests are changing the appearance of this code. Retry shortly."""


@dataclass(frozen=True)
class Customization:
    """Colors as #RRGGBB, style, and logo of a code's image. The bytes of the logo are stored separately.

    `logo_size_percent` is relative to the width of the symbol. `logo_digest` is the SHA-256 of the sanitized logo, in
    hexadecimal; None without a logo.
    """

    foreground_color: str = "#000000"
    background_color: str = "#FFFFFF"
    style: Style = "squares"
    logo_size_percent: int = 20
    logo_digest: str | None = None

    def image_spec(self, text: str, format: Format = "png", size: int = 300, level: ErrorCorrection = "M") -> ImageSpec:  # noqa: A002
        """Return the spec of an image of `text` with this appearance. With a logo, the level is H."""
        return ImageSpec(
            text,
            format,
            size,
            effective_level(level, logo=self.logo_digest is not None),
            foreground=self.foreground_color.upper(),
            background=self.background_color.upper(),
            style=self.style,
            logo=self.logo_digest,
            logo_percent=self.logo_size_percent,
        )


DEFAULT_CUSTOMIZATION = Customization()


def is_default(spec: ImageSpec) -> bool:
    """True for black squares on white without a logo. Tests decode the whole range of these images."""
    appearance = (spec.foreground.upper(), spec.background.upper(), spec.style, spec.logo)
    return appearance == (
        DEFAULT_CUSTOMIZATION.foreground_color,
        DEFAULT_CUSTOMIZATION.background_color,
        DEFAULT_CUSTOMIZATION.style,
        None,
    )
