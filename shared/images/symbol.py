"""QR symbols of ISO/IEC 18004: a square of modules, True where dark, without the quiet zone."""

import re
from functools import partial

import numpy as np
import segno
import zxingcpp
from numpy.typing import NDArray

from shared.errors import FieldError, Invalid, TextTooLong
from shared.images.image_spec import ErrorCorrection

Modules = NDArray[np.bool_]

BYTES: dict[ErrorCorrection, int] = {"L": 2953, "M": 2331, "Q": 1663, "H": 1273}
"""Capacity of version 40 in byte mode: ISO/IEC 18004:2015, table 7. Digits, capitals and kanji take less space."""

LARGEST_WIDTH = 177
"""Modules along one side of version 40."""

KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
JAPANESE = re.compile(
    # Punctuation without the wave dash; kana; kanji; fullwidth forms without the backslash.
    "[\u3000-\u301b\u301d-\u303f\u3041-\u3096\u3099-\u30ff\u4e00-\u9fff\uff01-\uff3b\uff3d-\uff5d]+"
)

FINDER = 7
"""Modules along one side of a finder pattern."""


def encode(text: str, level: ErrorCorrection) -> Modules:
    """Return the symbol of the smallest version, at exactly this level.

    Raise TextTooLong, or Invalid for an empty text and for lone surrogates.
    """
    if not text:
        raise Invalid(FieldError("data", "Use at least one character."))
    # zxing-cpp's encoder is fast and mixes modes. Beyond ASCII it silently uses Latin-1 or Shift-JIS, which not even
    # its own reader always recognizes. segno writes UTF-8 in byte mode, as phones expect, and kanji mode.
    modules = _encode_ascii(text, level) if text.isascii() else _encode_unicode(text, level)
    if modules is None:
        raise TextTooLong(BYTES[level], level)
    return modules


def version(modules: Modules) -> int:
    """Return the version of a symbol, 1 to 40."""
    return (len(modules) - 17) // 4


def finder_patterns(width: int) -> Modules:
    """Return a mask that is True on the three finder patterns of a symbol of this many modules."""
    mask = np.zeros((width, width), bool)
    mask[:FINDER, :FINDER] = mask[:FINDER, -FINDER:] = mask[-FINDER:, :FINDER] = True
    return mask


def _encode_ascii(text: str, level: ErrorCorrection) -> Modules | None:
    """Return the symbol. None if the text is too long."""
    try:
        barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode, ec_level=level)
    except ValueError:
        return None
    return _dark(np.asarray(barcode.to_image(scale=1, add_quiet_zones=False)), 0)


def _encode_unicode(text: str, level: ErrorCorrection) -> Modules | None:
    """Return the symbol. None if the text is too long."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid(FieldError("data", "Use text that UTF-8 can encode."))
    make = partial(segno.make_qr, text, error=level, boost_error=False)
    try:
        kanji = _is_kanji(text)
        symbol = make(mode="kanji" if kanji else "byte", encoding="shift_jis" if kanji else "utf-8")
    except segno.DataOverflowError:
        return None
    return _dark(np.array([np.frombuffer(row, np.uint8) for row in symbol.matrix]), 1)


def _is_kanji(text: str) -> bool:
    """True for Japanese text of which kanji mode has every character (ISO/IEC 18004:2015, 7.4.6).

    Readers without a table of Shift-JIS garble kanji mode, which only readers of Japanese expect. Readers disagree on
    the characters in which JIS X 0208 and Windows-31J differ, such as the wave dash: JAPANESE leaves them out.
    """
    if not (JAPANESE.fullmatch(text) and KANA.search(text)):
        return False
    try:
        # Characters beyond Shift-JIS, or an odd number of bytes.
        data = np.frombuffer(text.encode("shift_jis"), ">u2")
    except ValueError:
        return False
    return bool(np.all((data >= 0x8140) & (data <= 0x9FFC) | (data >= 0xE040) & (data <= 0xEBBF)))


def _dark(matrix: NDArray[np.uint8], value: int) -> Modules:
    return np.equal(matrix, value)
