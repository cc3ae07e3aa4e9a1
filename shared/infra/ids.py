"""Time-ordered ids: UUID version 7 (RFC 9562, 5.7)."""

import os
import time
from uuid import UUID

LOWEST = UUID(int=0)
"""Below every id: the cursor before the first page, oldest first."""
HIGHEST = UUID(int=2**128 - 1)
"""Above every id: the cursor before the first page, newest first."""


def uuid7() -> UUID:
    """Return 48 bits of Unix milliseconds, 12 bits of their fraction (RFC 9562, 6.2, method 3), and random bits.

    Ids of one process sort in the order of their creation, to 0.25 µs.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") & (1 << 62) - 1
    return UUID(int=(milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random)
