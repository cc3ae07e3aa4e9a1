"""Rotating codes: the step of a time, and the MAC that proves which step a screen showed. Pure."""

import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import parse_qs

MIN_SECONDS, MAX_SECONDS = 5, 3600
"""Limits of `rotation_seconds`, the length of a step."""
DEFAULT_SECONDS = 30
TOLERANCE_STEPS = 1
"""A code can be scanned for this many steps after its own. The clock of a screen's server may be as far ahead."""
PARAMETER = "t"
"""The query parameter of a code URL that holds step and MAC."""
MAC_BYTES = 12
"""96 bits, which are 16 characters: a guess succeeds once in 2^96."""
SAMPLE_STEP_MAC = "1700000000.AAAAAAAAAAAAAAAA"
"""As long as the longest one, to try how an image looks."""
FORM = re.compile(r"([0-9]{1,12})\.([A-Za-z0-9_-]{16})")


@dataclass(frozen=True)
class Rotation:
    """How a code rotates. No response, log entry or event contains `secret`."""

    seconds: int
    secret: bytes = field(repr=False)

    def step_at(self, at: datetime) -> int:
        """Return the step of a time: the number of whole steps since 1970."""
        return int(at.timestamp() // self.seconds)

    def end_of(self, step: int) -> datetime:
        """Return when the step ends."""
        return datetime.fromtimestamp((step + 1) * self.seconds, UTC)

    def sign(self, step: int) -> str:
        """Return `{step}.{mac}`, the value of the parameter `t`."""
        # With the length of a step: otherwise a photographed step would become current again after a change of it.
        mac = hmac.digest(self.secret, f"{self.seconds}.{step}".encode(), "sha256")[:MAC_BYTES]
        return f"{step}.{urlsafe_b64encode(mac).decode()}"

    def verify(self, step_mac: str | None) -> int | None:
        """Return the step of a genuine `{step}.{mac}`, else None. Takes the same time for every wrong MAC."""
        form = FORM.fullmatch(step_mac or "")
        if form is None:
            return None
        step = int(form[1])
        return step if hmac.compare_digest(self.sign(step), f"{step}.{form[2]}") else None

    def is_current(self, step: int, since: datetime, until: datetime) -> bool:
        """True if the step, or the one after it, was on the screen between these times, or the step before it."""
        return self.step_at(since) - TOLERANCE_STEPS <= step <= self.step_at(until) + TOLERANCE_STEPS


def find_step_mac(query: str) -> str | None:
    """Return the well-formed `{step}.{mac}` in the query of a code URL, or None. It may be forged."""
    values = parse_qs(query).get(PARAMETER, []) if query else []
    return values[0] if len(values) == 1 and FORM.fullmatch(values[0]) else None
