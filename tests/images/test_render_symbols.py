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
EDGES = (1, 2, 7, 10, 27, 40)
"""The first versions with an alignment pattern, version information, or a longer character count, and the last."""


def check_with_both_decoders(expected_version: int, alphabet: str) -> None:
    for level in LEVELS:
        text = text_of(capacity(expected_version, level, alphabet), alphabet)
        modules = encode(text, level)
        assert version(modules) == expected_version

        # One pixel per module.
        spec = ImageSpec(text, size=len(modules) + 8, level=level)
        data = render_png(spec, modules, None, None)
        assert is_readable(spec, data)
        assert opencv_reads(spec, data, len(modules))


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("version", EDGES)
def test_a_full_symbol_is_read_by_both_decoders(version: int, alphabet: str) -> None:
    check_with_both_decoders(version, alphabet)


@pytest.mark.long
@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("version", sorted({*range(1, 41)} - {*EDGES}))
def test_every_full_symbol_is_read_by_both_decoders(version: int, alphabet: str) -> None:
    check_with_both_decoders(version, alphabet)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("alphabet", ["numeric", "alphanumeric", "bytes"])
def test_a_full_symbol_equals_segnos(alphabet: str, level: ErrorCorrection) -> None:
    # Any mask is valid, and each encoder has its own choice.
    for symbol_version in (1, 8, 14):
        text = text_of(capacity(symbol_version, level, alphabet), alphabet)
        references = [
            np.array(segno.make_qr(text, error=level, version=symbol_version, mask=mask, boost_error=False).matrix) == 1
            for mask in range(8)
        ]
        assert any(np.array_equal(encode(text, level), reference) for reference in references)


@pytest.mark.parametrize("level", LEVELS)
def test_a_text_beyond_the_capacity_is_rejected(level: ErrorCorrection) -> None:
    for character in ("x", "é"):
        fits = character * (BYTES[level] // len(character.encode()))
        assert version(encode(fits, level)) == 40
        with pytest.raises(TextTooLong) as rejected:
            encode(fits + character, level)
        assert (rejected.value.limit, rejected.value.level) == (BYTES[level], level)
        assert f"{BYTES[level]:,} bytes" in rejected.value.field_errors[0].message


@pytest.mark.parametrize("text", ["", "\ud800", "a\udfff", "\ud83d\ude00"])
def test_invalid_text_is_rejected(text: str) -> None:
    with pytest.raises(Invalid) as rejected:
        encode(text, "M")
    assert rejected.value.field_errors[0].loc == "data"


def test_finder_patterns_are_in_three_corners() -> None:
    modules = encode("https://w.example/s/AbCdEfGhIjKl", "M")
    for corner in (modules[:FINDER, :FINDER], modules[:FINDER, -FINDER:], modules[-FINDER:, :FINDER]):
        assert "".join("#" if dark else "." for dark in corner.ravel()) == (
            "########.....##.###.##.###.##.###.##.....########"
        )
