"""The brand color of an organization on the light and on the dark page. Pure."""

from shared.images.color_adjustment import darken, lighten

LIGHT_PAPER, DARK_PAPER = "#FBFAF7", "#111513"
"""The backgrounds of pages in both themes."""
TEXT_CONTRAST = 4.5
"""WCAG 2.2, success criterion 1.4.3."""
ON_LIGHT, ON_DARK = "#FFFFFF", "#000000"
"""Text on the brand color. Both differ from the brand color more than the paper does."""


def page_colors(color: str) -> tuple[str, str]:
    """Return the color for light and for dark pages: darkened or lightened until text in it is readable."""
    # Black and white have the contrast, so both exist.
    light, dark = darken(color, LIGHT_PAPER, TEXT_CONTRAST), lighten(color, DARK_PAPER, TEXT_CONTRAST)
    return light or "#000000", dark or "#FFFFFF"


def style_sheet(light: str, dark: str) -> str:
    """Return the style sheet of an organization's pages: two custom properties."""
    brand, text = f"light-dark({light}, {dark})", f"light-dark({ON_LIGHT}, {ON_DARK})"
    return f":root {{\n  --brand: {brand};\n  --on-brand: {text};\n}}\n"
