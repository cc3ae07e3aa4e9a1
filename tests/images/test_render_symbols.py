"""Symbols: all versions, levels and alphabets against two decoders, and segno's matrices as the reference."""

import numpy as np
import pytest
import segno

from shared.errors import Invalid, TextTooLong
from shared.images.image_spec import ErrorCorrection, ImageSpec
from shared.images.raster import render_png
from shared.images.readback import is_readable
from shared.images.symbol import BYTES, FINDER, encode, version
from tests.images.opencv_decoder import opencv_reads
from tests.images.symbol_capacity import ALPHABETS, capacity, text_of

LEVELS: tuple[ErrorCorrection, ...] = ("L", "M", "Q", "H")
EDGES = (1, 2, 7, 9, 10, 26, 27, 40)
"""Versions where an alignment pattern, version information, or a longer count of characters comes in; and the last."""


def read_by_both(wanted: int, alphabet: str) -> None:
    for level in LEVELS:
        text = text_of(capacity(wanted, level, alphabet), alphabet)
        modules = encode(text, level)
        assert version(modules) == wanted

        picture = ImageSpec(text, size=len(modules) + 8, level=level)  # one pixel for each module
        data = render_png(picture, modules, None, None)
        assert is_readable(picture, data)
        assert opencv_reads(picture, data)


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("wanted", EDGES)
def test_a_full_symbol_is_read_by_both_decoders(wanted: int, alphabet: str) -> None:
    read_by_both(wanted, alphabet)


@pytest.mark.long
@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("wanted", sorted({*range(1, 41)} - {*EDGES}))
def test_every_full_symbol_is_read_by_both_decoders(wanted: int, alphabet: str) -> None:
    read_by_both(wanted, alphabet)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("alphabet", ["numeric", "alphanumeric", "bytes"])
def test_a_full_symbol_is_segnos(alphabet: str, level: ErrorCorrection) -> None:
    """But for the mask, of which any is right, and each encoder has its own favourite."""
    for wanted in (1, 8, 14):
        text = text_of(capacity(wanted, level, alphabet), alphabet)
        references = [
            np.array(segno.make_qr(text, error=level, version=wanted, mask=mask, boost_error=False).matrix) == 1
            for mask in range(8)
        ]
        assert any(np.array_equal(encode(text, level), reference) for reference in references)


@pytest.mark.parametrize("level", LEVELS)
def test_the_limit_of_bytes(level: ErrorCorrection) -> None:
    for character in ("x", "é"):
        fits = character * (BYTES[level] // len(character.encode()))
        assert version(encode(fits, level)) == 40
        with pytest.raises(TextTooLong) as refused:
            encode(fits + character, level)
        assert (refused.value.limit, refused.value.level) == (BYTES[level], level)
        assert f"{BYTES[level]:,} bytes" in refused.value.faults[0].message


@pytest.mark.parametrize("text", ["", "\ud800", "a\udfff", "\ud83d\ude00"])
def test_what_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        encode(text, "M")
    assert refused.value.faults[0].loc == "data"


def test_finder_patterns_stand_in_three_corners() -> None:
    modules = encode("https://w.example/s/AbCdEfGhIjKl", "M")
    for corner in (modules[:FINDER, :FINDER], modules[:FINDER, -FINDER:], modules[-FINDER:, :FINDER]):
        assert "".join("#" if dark else "." for dark in corner.ravel()) == (
            "########.....##.###.##.###.##.###.##.....########"
        )
