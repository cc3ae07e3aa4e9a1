"""Texts that exactly fill a symbol, computed from segno's tables (ISO/IEC 18004:2015, table 7)."""

import random

from segno import consts

from shared.images.image_spec import ErrorCorrection

ALPHABETS = {
    "numeric": "0123456789",
    # Without digits, which the encoder would pack more tightly.
    "alphanumeric": "ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:",
    "bytes": "abcdefghijklmnopqrstuvwxyz~!?&=#_",
    # Two bytes each.
    "utf-8": "éèñßüабвгд",
    "kanji": "あいうえおカタカナひらがな",
}
LENGTH_BITS = {"numeric": (10, 12, 14), "alphanumeric": (9, 11, 13), "bytes": (8, 16, 16), "kanji": (8, 10, 12)}
LEVELS = {"L": consts.ERROR_LEVEL_L, "M": consts.ERROR_LEVEL_M, "Q": consts.ERROR_LEVEL_Q, "H": consts.ERROR_LEVEL_H}


def capacity(version: int, level: ErrorCorrection, alphabet: str) -> int:
    """Return how many characters of this alphabet the symbol holds."""
    mode = "bytes" if alphabet == "utf-8" else alphabet
    length_bits = LENGTH_BITS[mode][(version > 9) + (version > 26)]
    table: dict[int, dict[int, int]] = consts.SYMBOL_CAPACITY  # type: ignore[assignment]  # segno's stub has object
    bits = table[version][LEVELS[level]] - 4 - length_bits
    match mode:
        case "numeric":
            return bits // 10 * 3 + (bits % 10 >= 4) + (bits % 10 >= 7)
        case "alphanumeric":
            return bits // 11 * 2 + (bits % 11 >= 6)
        case "kanji":
            return bits // 13
    return bits // 8 // (2 if alphabet == "utf-8" else 1)


def text_of(length: int, alphabet: str, seed: int = 0) -> str:
    """Return a text of this length, the same for the same seed."""
    return "".join(random.Random(seed).choices(ALPHABETS[alphabet], k=length))
