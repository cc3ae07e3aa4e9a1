"""Generated codes and their limits. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from shared.images.image_spec import ErrorCorrection, Format, ImageSpec

GeneratedCodeStatus = Literal["pending", "ready", "failed"]

MAX_DATA_BYTES = 2953
"""In UTF-8: the capacity of the largest symbol, version 40-L, in byte mode (ISO/IEC 18004:2015, table 7)."""
EXPIRATION_HOURS = (0, 87_600)
"""0 means never, as clients of an older service send it. The longest expiration is ten years."""
TOMBSTONE_RETENTION = timedelta(days=365)
"""After this time past its expiry, an expired code is reported as not found."""


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """A request for an image of a text. `size` is in pixels."""

    data: str
    format: Format = "png"
    size: int = 300
    error_correction: ErrorCorrection = "M"

    def image_spec(self, as_format: Format | None = None) -> ImageSpec:
        """Return the spec of the image in the requested format, or in another."""
        return ImageSpec(self.data, as_format or self.format, self.size, self.error_correction)


@dataclass(frozen=True, kw_only=True)
class GeneratedCode(GenerateRequest):
    """A generated code. `is_expired` is by the clock of the database, when the row was read."""

    id: UUID
    created_by: UUID | None
    expires_at: datetime | None
    is_expired: bool
    status: GeneratedCodeStatus
    attempts: int

    @property
    def has_failed_attempt(self) -> bool:
        """True if a worker failed or crashed on this code. Then only workers render it, because they count attempts."""
        return self.status == "pending" and self.attempts > 1
