"""Contrast of colors, the level of an image with a logo, and digests of specs."""

import pytest

from shared.images.contrast import check_colors, contrast_ratio, rgb
from shared.images.image_spec import ImageSpec, effective_level


@pytest.mark.parametrize(
    ("foreground", "background", "ratio"),
    [
        ("#000000", "#FFFFFF", 21.0),
        ("#FFFFFF", "#FFFFFF", 1.0),
        # The grays on either side of WCAG's 4.5.
        ("#777777", "#FFFFFF", 4.48),
        ("#767676", "#FFFFFF", 4.54),
        ("#0000FF", "#ffffff", 8.59),
        ("#FF0000", "#00FF00", 2.91),
    ],
)
def test_contrast_ratio_follows_wcag(foreground: str, background: str, ratio: float) -> None:
    assert contrast_ratio(foreground, background) == pytest.approx(ratio, abs=0.005)
    assert contrast_ratio(background, foreground) == contrast_ratio(foreground, background)


@pytest.mark.parametrize(
    ("foreground", "background", "wrong"),
    [
        ("#000000", "#FFFFFF", []),
        # The ratio is 3.03.
        ("#949494", "#FFFFFF", []),
        ("#959595", "#FFFFFF", [("body.foreground_color", "2.99")]),
        ("#FFFFFF", "#000000", [("body.foreground_color", "darker")]),
        ("#123456", "#123456", [("body.foreground_color", "1.00")]),
        ("red", "#FFFFFF", [("body.foreground_color", "#1A2B3C")]),
        ("#FFF", "white", [("body.foreground_color", "#1A2B3C"), ("body.background_color", "#1A2B3C")]),
        ("#000000\n", "#FFFFFF", [("body.foreground_color", "#1A2B3C")]),
        ("red;}<script>", "#FFFFFF", [("body.foreground_color", "#1A2B3C")]),
    ],
)
def test_check_colors(foreground: str, background: str, wrong: list[tuple[str, str]]) -> None:
    errors = check_colors(foreground, background)
    assert [error.loc for error in errors] == [loc for loc, _ in wrong]
    assert all(message in error.message for error, (_, message) in zip(errors, wrong, strict=True))


def test_rgb_accepts_six_digits_only() -> None:
    assert rgb("#01fF80") == (1, 255, 128)
    with pytest.raises(ValueError, match="RRGGBB"):
        rgb("#12345")


def test_only_a_logo_raises_the_level() -> None:
    assert [effective_level(level, logo=False) for level in ("L", "M", "Q", "H")] == ["L", "M", "Q", "H"]
    assert {effective_level(level, logo=True) for level in ("L", "M", "Q", "H")} == {"H"}


@pytest.mark.parametrize(
    "other",
    [
        ImageSpec("b"),
        ImageSpec("a", format="svg"),
        ImageSpec("a", size=301),
        ImageSpec("a", level="Q"),
        ImageSpec("a", foreground="#000001"),
        ImageSpec("a", background="#FFFFFE"),
        ImageSpec("a", style="dots"),
        ImageSpec("a", logo="0" * 64),
    ],
)
def test_different_images_have_different_digests(other: ImageSpec) -> None:
    assert other.digest() != ImageSpec("a").digest()


def test_equal_images_have_the_same_digest() -> None:
    assert ImageSpec("a", background="#ffffff", logo_percent=10).digest() == ImageSpec("a").digest()
    assert len(ImageSpec("\ud800\0").digest()) == 64
