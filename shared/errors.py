"""Domain errors, one per thing that can go wrong. `web/http/problems.py` maps each kind to its HTTP status."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class DomainError(Exception):
    """An error that is reported to the caller. The docstring of the class is its default message."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class Unauthenticated(DomainError):
    """Credentials are missing or not valid."""

    reason: str | None = None
    """Why a token or key is rejected. None for other credentials, such as a password."""


class CredentialsMissing(Unauthenticated):
    """Credentials are missing. Send an access token or an API key with the scheme Bearer."""

    reason = "missing"


class CredentialsMalformed(Unauthenticated):
    """The bearer token is malformed. Send an access token or an API key as it was issued."""

    reason = "malformed"


class CredentialsInvalid(Unauthenticated):
    """The bearer token is not valid here. Log in again, or check the API key."""

    reason = "invalid"


class CredentialsExpired(Unauthenticated):
    """The bearer token has expired. Use a refresh token, log in again, or create another API key."""

    reason = "expired"


class CredentialsRevoked(Unauthenticated):
    """The session of this token has ended, or the API key was revoked. Log in again, or create another API key."""

    reason = "revoked"


class Forbidden(DomainError):
    """You are not allowed to do this."""


class ScopeMissing(Forbidden):
    """An API key lacks the scope of the operation."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"This key lacks the scope {scope}.")


class NotFound(DomainError):
    """Not found, or not visible to you."""


class PlayerNotFound(NotFound):
    """This player does not exist."""


class Conflict(DomainError):
    """This conflicts with what is stored."""


class Gone(DomainError):
    """This has expired."""


class UnsupportedMediaType(DomainError):
    """The body must be application/json."""


class Unavailable(DomainError):
    """A store is unavailable. Retry shortly."""

    retry_after = 2  # seconds


class LimitReached(DomainError):
    """A limit of this caller is reached. Retry later."""

    retry_after = 10  # seconds


@dataclass(frozen=True)
class FieldError:
    """A wrong field: `loc`, such as `body.latitude`, and a message that says what is allowed."""

    loc: str
    message: str


class Invalid(DomainError):
    """The request is malformed."""

    def __init__(self, *field_errors: FieldError) -> None:
        super().__init__()
        self.field_errors = field_errors


class UsernameTaken(Conflict):
    """This username is taken."""


class AlreadyRegistered(Conflict):
    """This player already has an account."""


class GuestAccount(Conflict):
    """A guest has no password, username or email address to change. Create an account with POST /auth/upgrade."""


class WrongPassword(Forbidden):
    """The current password is wrong."""


class SlugTaken(Conflict):
    """This slug is taken. A slug stays with its organization forever."""


class TooManySlugs(Conflict):
    """This organization has used 20 slugs, the limit. Use one of them again."""


class SlugDeleted(Gone):
    """This slug is no longer in use."""


class CodeTaken(Conflict):
    """This code text is taken. A text stays with its code after a rename, and with its organization forever."""


class TooManyAliases(Conflict):
    """This code has 100 aliases, the limit. Delete one first."""


class DestinationInUse(Conflict):
    """Other codes lead to this code. Change their destination first."""

    MAX_NAMED = 20

    def __init__(self, codes: Sequence[str], total: int, *, deleted: int = 1) -> None:
        subject = "This code is" if deleted == 1 else "Some of these codes are"
        more = f" and {total - len(codes):,} more" if total > len(codes) else ""
        super().__init__(f"{subject} the destination of {', '.join(codes)}{more}. Change their destination first.")


class SelectionChanged(Conflict):
    """Another number of codes than expected is selected, so nothing was changed."""

    def __init__(self, selected: str, expected: int | None) -> None:
        codes = "code" if selected == "1" else "codes"
        super().__init__(
            f"This selects {selected} {codes}, not {expected or 0:,}. Nothing was changed. List them again."
        )


class CodeRotates(Invalid):
    """A code that rotates has no image to print. `loc` names the code."""

    MESSAGE = "This code rotates: a printed image of it would soon stop working. Show it on a screen instead."

    def __init__(self, loc: str) -> None:
        super().__init__(FieldError(loc, self.MESSAGE))


class CodeDoesNotRotate(Conflict):
    """This code does not rotate. Set rotating to true first."""


class TooManyScreens(Conflict):
    """This code has 20 screens, the limit. Revoke one first."""


class CodeDeleted(Gone):
    """This code was deleted."""


class AlreadyMember(Conflict):
    """This player is already a member with this role or a higher one."""


class AlreadyInvited(Conflict):
    """This player already has an open invitation. Revoke it first."""


class TooManyInvitations(Conflict):
    """This organization has 200 open invitations, the limit. Revoke one first."""


class TooManyRenders(Conflict):
    """This organization has 100 open renders, the limit. Retry when one of them has finished, or cancel one."""


class LabelTemplateTaken(Conflict):
    """A label template of this organization, or a built-in one, has this name."""


class BuiltInLabelTemplate(Conflict):
    """A built-in label template cannot be changed. Create one with your measures."""


class TooManyLabelTemplates(Conflict):
    """This organization has 100 label templates, the limit. Delete one first."""


class TooManyImports(Conflict):
    """This organization has 30 open imports, the limit. Retry when one of them has finished."""


class OrganizationClosed(Gone):
    """This organization is closed. An owner can restore it within seven days."""


class InvitationEnded(Gone):
    """This invitation is no longer valid."""


class LastOwner(Conflict):
    """The last owner cannot leave or lose the role. Offer the role to another member, or delete the organization."""


class NonceReused(Conflict):
    """This nonce was used for another scan. Repeat the same body to retry, or use a new nonce."""


class ImageDeadLettered(Conflict):
    """This image could not be rendered. Generate a new code."""


class NoAttemptsLeft(Conflict):
    """No attempts at this puzzle are left."""


class PuzzleClosed(Gone):
    """The time to answer this puzzle is over."""


class NoSolution(Conflict):
    """This puzzle has no solution yet."""


class PuzzleNotUnlocked(Forbidden):
    """Scan the code of this puzzle before you answer it."""


class BalanceTooLow(Conflict):
    """The player has less of this item than the token is for."""


class NotRedeemable(Conflict):
    """This item cannot be redeemed."""


class TooManyItems(Conflict):
    """This organization limits 1,000 items, the most that it can. Remove the limits of another item first."""


class UnknownToken(NotFound):
    """This organization has no such token. Scan it again, or ask the player to create a new one."""


class TokenExpired(Gone):
    """This token has expired. Ask the player to create a new one."""


class AlreadyRedeemed(Conflict):
    """A token was used before. `redemption` says when, and at which service counter."""

    def __init__(self, message: str, redemption: Mapping[str, Any]) -> None:
        self.redemption = redemption
        super().__init__(message)


class NotYourRedemption(Forbidden):
    """Only the member or the API key that confirmed a redemption can undo it."""


class AlreadyUndone(Conflict):
    """This redemption was undone before."""


class TooLateToUndo(Conflict):
    """This redemption can no longer be undone: that is possible for 15 minutes."""


class NoVerdictYet(Conflict):
    """This scan has no verdict yet. Retry shortly."""


class NotReviewable(Conflict):
    """This verdict cannot be changed: only held scans can be released, only held or successful ones annulled."""


class OutOfStock(Conflict):
    """The code has no uses left. Repeat the request with {"force": true} to release the scan beyond its stock."""


class QuotaExceeded(Conflict):
    """An organization or a player has as much as a quota allows. `setting` is the name of the quota.

    `things` and `hint` complete the message: what is counted, and how to make room.
    """

    def __init__(self, setting: str, used: int, limit: int, things: str, hint: str) -> None:
        self.setting, self.used, self.limit = setting, used, limit
        super().__init__(f"{used:,} of {limit:,} {things} are in use ({setting}). {hint}")


class IdempotencyKeyInUse(Conflict):
    """The first request with this Idempotency-Key is still running."""


class InvalidRows(Invalid):
    """Some rows are invalid, so no row was added. `rows` has the result of each row."""

    def __init__(self, message: str, field_errors: Sequence[FieldError], rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(*field_errors)
        self.message, self.rows = message, rows


class UnknownDestination(Invalid):
    """The destination is not another code of this organization."""

    def __init__(self, message: str = "This organization has no such code.") -> None:
        super().__init__(FieldError("body.destination_code", message))


class IdempotencyKeyReused(Invalid):
    """This Idempotency-Key was used with another request."""

    def __init__(self) -> None:
        super().__init__(FieldError("header.Idempotency-Key", self.__doc__ or ""))


class TooManyWebSockets(Unavailable):
    """This process has reached its limit of WebSockets. Retry shortly."""


class TooManyWebSocketsOfClient(LimitReached):
    """A player or an address has as many open WebSockets as `setting` allows."""

    def __init__(self, setting: str, holder: str, count: int, limit: int) -> None:
        super().__init__(
            f"{count} of {limit} WebSockets of {holder} are open in this process ({setting}). Close one, then retry."
        )


class TooManyLogins(Unavailable):
    """Too many log-ins and registrations are waiting. Retry shortly."""


class TooManyDownloads(Unavailable):
    """This process has reached its limit of downloads. Retry shortly."""


class UnreadableImage(Invalid):
    """Scanners cannot read an image with these colors, this style and this logo."""


class DesignRejected(Invalid):
    """This design is not readable. `suggestion` has the fields that would make it so; None if none was found."""

    def __init__(self, *field_errors: FieldError, suggestion: dict[str, str | int] | None) -> None:
        super().__init__(*field_errors)
        self.suggestion = suggestion


class LogoChanged(Unavailable):
    """The logo is being replaced. Retry shortly."""


class TextTooLong(Invalid):
    """The text is too long for a QR symbol of this level. `limit` is in bytes of UTF-8."""

    def __init__(self, limit: int, level: str, loc: str = "data") -> None:
        self.limit, self.level = limit, level
        super().__init__(FieldError(loc, f"This text is too long. A symbol of level {level} holds {limit:,} bytes."))


class ImageTooSmall(Invalid):
    """The symbol and its quiet zone need more pixels. `smallest` is the smallest possible size, in pixels."""

    def __init__(self, smallest: int, loc: str = "size") -> None:
        self.smallest = smallest
        super().__init__(FieldError(loc, f"Use at least {smallest} pixels for this symbol."))


class InvalidLogo(Invalid):
    """This file cannot be used as a logo."""

    def __init__(self, reason: str, loc: str = "form.logo") -> None:
        super().__init__(FieldError(loc, reason))
