"""Characters that show nothing, which spreadsheets and scanners leave around a text."""

ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff"
"""Zero-width space, non-joiner, joiner and word joiner, and the byte order mark."""
BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + ZERO_WIDTH
"""All white space of Unicode, the no-break space included, and ZERO_WIDTH."""


def trim(text: str) -> str:
    """Return the text without blanks at its ends."""
    return text.strip(BLANKS)
