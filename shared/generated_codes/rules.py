"""What a generated code is, and who draws it. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from shared.images.image_spec import ErrorCorrection, Format, ImageSpec

GeneratedCodeStatus = Literal["pending", "ready", "failed"]

MAX_DATA_BYTES = 2953
"""Of UTF-8: the largest symbol, version 40-L, in byte mode (ISO/IEC 18004:2015, table 7). Other levels hold less."""
EXPIRATION_HOURS = (1, 87_600)
"""From an hour to ten years."""
MAX_ATTEMPTS = 3
"""Then a code is set aside: it failed, or killed its worker, each time."""
TOMBSTONE_RETENTION = timedelta(days=365)
"""How long it is remembered that a code was there, after its expiry."""


@dataclass(frozen=True, kw_only=True)
class GenerateRequest:
    """What was asked for: text, and how its picture is to be. `size` in pixels."""

    data: str
    format: Format = "png"
    size: int = 300
    error_correction: ErrorCorrection = "M"

    def picture(self, as_format: Format | None = None) -> ImageSpec:
        """The picture of it, in the format asked for or in another one."""
        return ImageSpec(self.data, as_format or self.format, self.size, self.error_correction)


@dataclass(frozen=True, kw_only=True)
class GeneratedCode(GenerateRequest):
    """A generated code as it stands. `is_expired` by the database's clock, at the moment it was read."""

    id: UUID
    created_by: UUID | None
    expires_at: datetime | None
    is_expired: bool
    status: GeneratedCodeStatus
    attempts: int

    @property
    def has_failed_attempt(self) -> bool:
        """Whether a worker failed at it, or died with it, before. Then workers alone try it again, and count."""
        return self.status == "pending" and self.attempts > 1
