"""How an organization wants a code's picture to look. Pure."""

from dataclasses import dataclass

from shared.images.contrast import effective_level
from shared.images.image_spec import ErrorCorrection, Format, ImageSpec, Style


@dataclass(frozen=True)
class Customization:
    """Colours as #RRGGBB, and the logo's width in percent of the symbol's. The logo's bytes are kept apart."""

    foreground_color: str = "#000000"
    background_color: str = "#FFFFFF"
    style: Style = "squares"
    logo_size_percent: int = 20
    logo_digest: str | None = None  # SHA-256 of the cleaned logo's bytes, in hex

    def image_spec(self, text: str, format: Format = "png", size: int = 300, level: ErrorCorrection = "M") -> ImageSpec:  # noqa: A002
        """The picture of a text that looks like this. Size in pixels; the level is raised where there is a logo."""
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


def is_default(picture: ImageSpec) -> bool:
    """Whether the picture is black squares on white, of which tests have proved the whole range readable."""
    wanted = (picture.foreground.upper(), picture.background.upper(), picture.style, picture.logo)
    return wanted == (
        DEFAULT_CUSTOMIZATION.foreground_color,
        DEFAULT_CUSTOMIZATION.background_color,
        DEFAULT_CUSTOMIZATION.style,
        None,
    )
