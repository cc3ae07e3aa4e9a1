"""Text into a QR symbol after ISO/IEC 18004: a square of modules, True where dark, without its quiet zone."""

from functools import partial

import numpy as np
import segno
import zxingcpp
from numpy.typing import NDArray

from shared.errors import FieldError, Invalid, TextTooLong
from shared.images.image_spec import ErrorCorrection

Modules = NDArray[np.bool_]

BYTES: dict[ErrorCorrection, int] = {"L": 2953, "M": 2331, "Q": 1663, "H": 1273}
"""What version 40 holds in byte mode: ISO/IEC 18004:2015, table 7. Digits and capitals take less room, kanji too."""

FINDER = 7
"""Modules along one side of a finder pattern."""


def encode(text: str, level: ErrorCorrection) -> Modules:
    """The symbol of the smallest version, at exactly this level.

    zxing-cpp's encoder is fast, and mixes modes as suits the text. For text beyond ASCII it falls back on Latin-1 or
    Shift-JIS without saying so, which not even its own reader can always tell: there segno writes kanji mode, or UTF-8
    in byte mode, as phones expect it.

    Raises TextTooLong; Invalid for what is no text (nothing, or lone surrogates).
    """
    if not text:
        raise Invalid(FieldError("data", "must not be empty"))
    modules = _encode_ascii(text, level) if text.isascii() else _encode_unicode(text, level)
    if modules is None:
        raise TextTooLong(BYTES[level], level)
    return modules


def version(modules: Modules) -> int:
    """1 to 40."""
    return (len(modules) - 17) // 4


def finder_patterns(width: int) -> Modules:
    """True on the three finder patterns of a symbol of this many modules."""
    mask = np.zeros((width, width), bool)
    mask[:FINDER, :FINDER] = mask[:FINDER, -FINDER:] = mask[-FINDER:, :FINDER] = True
    return mask


def _encode_ascii(text: str, level: ErrorCorrection) -> Modules | None:
    """None where there is too much of it."""
    try:
        barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level=level)
    except ValueError:
        return None
    return _dark(np.asarray(barcode.to_image(scale=1, add_quiet_zones=False)), 0)


def _encode_unicode(text: str, level: ErrorCorrection) -> Modules | None:
    """None where there is too much of it."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid(FieldError("data", "must be text that UTF-8 can write"))
    make = partial(segno.make_qr, text, error=level, boost_error=False)
    try:
        kanji = _is_kanji(text)
        symbol = make(mode="kanji" if kanji else "byte", encoding="shift_jis" if kanji else "utf-8")
    except segno.DataOverflowError:
        return None
    return _dark(np.array([np.frombuffer(row, np.uint8) for row in symbol.matrix]), 1)


def _is_kanji(text: str) -> bool:
    """Whether kanji mode has every character (ISO/IEC 18004:2015, 7.4.6), and all readers agree on which it is."""
    try:
        coded = text.encode("shift_jis")
        if coded != text.encode("cp932") or "\uff3c" in text:  # readers take the wide backslash for the narrow one
            return False
        data = np.frombuffer(coded, ">u2")
    except ValueError:  # not in Shift-JIS, or an odd number of bytes of it
        return False
    return bool(np.all((data >= 0x8140) & (data <= 0x9FFC) | (data >= 0xE040) & (data <= 0xEBBF)))


def _dark(matrix: NDArray[np.uint8], value: int) -> Modules:
    return np.equal(matrix, value)
