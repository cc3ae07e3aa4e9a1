"""What can go wrong, in the domain's words, once each. `web/http/problems.py` gives each kind its HTTP status."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class DomainError(Exception):
    """A refusal that the caller is told about; the docstring is the message unless one is given."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class Unauthenticated(DomainError):
    """Credentials are missing or not valid."""


class Forbidden(DomainError):
    """You may not do this."""


class NotFound(DomainError):
    """There is nothing here, or nothing that you may know of."""


class PlayerNotFound(NotFound):
    """This player does not exist."""


class Conflict(DomainError):
    """This conflicts with what is stored."""


class Gone(DomainError):
    """This has expired."""


class UnsupportedMediaType(DomainError):
    """The body must be application/json."""


class Unavailable(DomainError):
    """A store that this needs is down; try again shortly."""

    retry_after = 2  # seconds


@dataclass(frozen=True)
class FieldError:
    """One field that is wrong: `loc` as in `body.latitude`, and what would be right."""

    loc: str
    message: str


class Invalid(DomainError):
    """The request is malformed."""

    def __init__(self, *faults: FieldError) -> None:
        super().__init__()
        self.faults = faults


class UsernameTaken(Conflict):
    """This username is taken."""


class AlreadyRegistered(Conflict):
    """This player is no guest any more."""


class GuestAccount(Conflict):
    """A guest has neither a password nor a name or an address of their own; POST /auth/upgrade gives them."""


class WrongPassword(Forbidden):
    """The current password is wrong."""


class SlugTaken(Conflict):
    """This slug is taken."""


class CodeTaken(Conflict):
    """This code text is taken."""


class AlreadyMember(Conflict):
    """This player is a member already."""


class LastOwner(Conflict):
    """The last owner of an organization stays its owner."""


class NonceReused(Conflict):
    """This nonce was used for another scan. Repeat the same body to retry, or use a new nonce."""


class ImageDeadLettered(Conflict):
    """This picture could not be made, and was set aside."""


class NoAttemptsLeft(Conflict):
    """No attempts at this puzzle are left."""


class NoSolution(Conflict):
    """This puzzle has no solution yet."""


class PuzzleNotUnlocked(Forbidden):
    """Scan the code of this puzzle before you answer it."""


class NoVerdictYet(Conflict):
    """This scan has no verdict yet. Retry shortly."""


class NotReviewable(Conflict):
    """This verdict cannot be changed: only held scans can be released, only held or successful ones annulled."""


class IdempotencyKeyInUse(Conflict):
    """The first request with this Idempotency-Key is still running."""


class InvalidRows(Invalid):
    """Some rows are wrong, so none was added. `rows` says of each what became of it."""

    def __init__(self, message: str, faults: Sequence[FieldError], rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(*faults)
        self.message, self.rows = message, rows


class IdempotencyKeyReused(Invalid):
    """This Idempotency-Key was used with another request."""

    def __init__(self) -> None:
        super().__init__(FieldError("header.Idempotency-Key", self.__doc__ or ""))


class TooManyWebSockets(Unavailable):
    """This process holds as many sockets as it may; try again."""


class PasswordHashingBusy(Unavailable):
    """Too many passwords are being checked at this moment; try again shortly."""

    def __init__(self) -> None:
        super().__init__()
        self.retry_after = 1 + secrets.randbelow(8)  # who was sent away together does not come back together


class TooManyDownloads(Unavailable):
    """This process sends as many files as it may; try again."""


class UnreadableImage(Invalid):
    """With these colors, this style and this logo the picture cannot be read back."""


class LogoChanged(Unavailable):
    """The logo is being replaced; try again."""


class TextTooLong(Invalid):
    """No QR symbol of this level holds so much text. `limit` is in bytes of UTF-8."""

    def __init__(self, limit: int, level: str, loc: str = "data") -> None:
        self.limit, self.level = limit, level
        super().__init__(FieldError(loc, f"is too long: level {level} holds {limit:,} bytes"))


class ImageTooSmall(Invalid):
    """The symbol and its quiet zone do not fit in so few pixels. `smallest` is the size that would do, in pixels."""

    def __init__(self, smallest: int, loc: str = "size") -> None:
        self.smallest = smallest
        super().__init__(FieldError(loc, f"is too small for this symbol: it needs at least {smallest} pixels"))


class InvalidLogo(Invalid):
    """This file cannot be a logo."""

    def __init__(self, why: str, loc: str = "form.logo") -> None:
        super().__init__(FieldError(loc, why))
