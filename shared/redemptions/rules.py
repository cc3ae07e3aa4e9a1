"""What can be redeemed, and the form of tokens. Pure, except for the random token."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal
from uuid import UUID

from shared.errors import (
    AlreadyUndone,
    BalanceTooLow,
    FieldError,
    Invalid,
    NotRedeemable,
    NotYourRedemption,
    OrganizationClosed,
    TooLateToUndo,
)
from shared.infra.blanks import trim
from shared.infra.timestamps import format_rfc3339

TOKEN_TTL = timedelta(seconds=60)
UNDO_PERIOD = timedelta(minutes=15)
BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's alphabet: a QR code stores it in few modules, and no two characters are mistaken for each other."""
TOKEN_LENGTH = 16
"""80 random bits, valid for a minute. It can be typed."""
SYMBOLOGY_PREFIX = re.compile(r"^\]Q[0-9]")
"""A prefix that handheld scanners add to the text of a QR code."""
MISREAD = str.maketrans("OIL", "011", " -")

CounterKind = Literal["member", "key"]


@dataclass(frozen=True)
class Holding:
    """A player's balance of an item of one issuer. `org_id` is None for quests of the installation."""

    org_id: UUID | None
    organization: str | None
    balance: int
    is_closed: bool


@dataclass(frozen=True)
class Item:
    """The limits of an item, and how many were redeemed in all. None is no limit."""

    item: str
    stock: int | None = None
    expires_at: datetime | None = None
    redeemed: int = 0

    @property
    def left(self) -> int | None:
        """Return how many can still be redeemed, or None without a stock."""
        return None if self.stock is None else max(0, self.stock - self.redeemed)


@dataclass(frozen=True)
class Redemption:
    """A redemption, and the service counter that confirmed it: a member by username, or an API key by name."""

    id: UUID
    player_id: UUID
    item: str
    quantity: int
    at: datetime
    counter_kind: CounterKind
    counter_id: UUID
    counter_name: str
    undone_at: datetime | None


def new_token() -> str:
    """Return a random token."""
    return "".join(secrets.choice(BASE32) for _ in range(TOKEN_LENGTH))


def token_digest(text: str) -> bytes:
    """Return the digest of a token as it was scanned or typed: in any letter case, with blanks and hyphens.

    O is read as 0, I and L as 1.
    """
    token = SYMBOLOGY_PREFIX.sub("", trim(text))
    return sha256(token.upper().translate(MISREAD).encode()).digest()


def choose_issuer(holdings: Sequence[Holding], item: str, quantity: int, org_id: UUID | None) -> UUID:
    """Return the organization that redeems this quantity: `org_id`, or the only one that issued the item.

    Raise Invalid if several did, and BalanceTooLow, NotRedeemable or OrganizationClosed if the player cannot redeem it.
    """
    issued = [
        held
        for held in holdings
        if held.org_id is not None and (held.org_id == org_id if org_id else not held.is_closed)
    ]
    if len(issued) > 1:
        choices = ", ".join(f"{held.organization} ({held.org_id})" for held in issued)
        raise Invalid(FieldError("body.org_id", f"You have this item of several organizations. Name one: {choices}."))
    if not issued:
        if org_id is None and any(held.is_closed for held in holdings):
            raise OrganizationClosed("The organization that issued this item is closed.")
        if org_id is None and holdings:
            raise NotRedeemable(
                "Items from quests of the installation cannot be redeemed: no organization issued them."
            )
        raise BalanceTooLow(f"Your balance is too low: you have 0 of {item} and requested {quantity:,}.")
    (held,) = issued
    if held.is_closed:
        raise OrganizationClosed("The organization that issued this item is closed.")
    if held.balance < quantity:
        raise BalanceTooLow(f"Your balance is too low: you have {held.balance:,} of {item} and requested {quantity:,}.")
    assert held.org_id is not None  # noqa: S101 - for the type checker
    return held.org_id


def check_limits(item: Item, quantity: int, now: datetime) -> None:
    """Raise NotRedeemable if the item's end date has passed, or its stock is less than this quantity."""
    if item.expires_at is not None and item.expires_at <= now:
        raise NotRedeemable(f"{item.item} could be redeemed until {format_rfc3339(item.expires_at)}.")
    if item.left is not None and item.left < quantity:
        raise NotRedeemable(f"{item.item} is out of stock: {item.left:,} left, {quantity:,} requested.")


def check_undo(redemption: Redemption, caller_id: UUID, now: datetime) -> None:
    """Raise NotYourRedemption, AlreadyUndone or TooLateToUndo if the caller cannot undo this redemption."""
    if redemption.counter_id != caller_id:
        raise NotYourRedemption
    if redemption.undone_at is not None:
        raise AlreadyUndone(f"This redemption was undone before, at {format_rfc3339(redemption.undone_at)}.")
    if now - redemption.at > UNDO_PERIOD:
        raise TooLateToUndo
