"""The target of a code URL, and the detection of requests by people. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.codes.rotation import DEFAULT_SECONDS, Rotation
from shared.infra.urls import is_web_url

Resolution = Literal["redirect", "page", "not_started", "gone", "out_of_date", "not_found"]


@dataclass(frozen=True)
class LinkTarget:
    """The state of a code that decides the response to /s/{code}. `now` is the time of PostgreSQL.

    No code of a closed organization is active.
    """

    id: UUID
    code: str
    description: str
    scan_type: str | None
    target_url: str | None
    active: bool
    starts_at: datetime | None
    expires_at: datetime | None
    max_scans: int | None
    use_count: int
    now: datetime
    rotation_seconds: int = DEFAULT_SECONDS
    rotation_secret: bytes | None = field(default=None, repr=False)

    @property
    def rotation(self) -> Rotation | None:
        return None if self.rotation_secret is None else Rotation(self.rotation_seconds, self.rotation_secret)

    @property
    def is_redirect(self) -> bool:
        return self.scan_type is None


def resolve(code: LinkTarget, step_mac: str | None = None) -> Resolution:
    """Decide where the code URL leads. Codes that are scanned show a page: limits of their scans do not apply here.

    `step_mac` is that of the URL. A rotating code needs a current one.
    """
    if not code.active or (code.expires_at is not None and code.now >= code.expires_at):
        return "gone"
    if code.starts_at is not None and code.now < code.starts_at:
        return "not_started"
    if (rotation := code.rotation) is not None:
        step = rotation.verify(step_mac)
        if step is None or not rotation.is_current(step, code.now, code.now):
            return "out_of_date"
    if not code.is_redirect:
        return "page"
    if code.max_scans is not None and code.use_count >= code.max_scans:
        return "gone"
    return "redirect" if code.target_url is not None and is_web_url(code.target_url) else "not_found"


PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


def is_prefetch(method: str, headers: Mapping[str, str]) -> bool:
    """True if no person asked for the page yet: a HEAD request, a prefetch, a preview."""
    if method != "GET":
        return True
    purposes = " ".join(headers.get(name, "") for name in PREFETCH_HEADERS).lower()
    return any(word in purposes for word in ("prefetch", "prerender", "preview"))
