"""What can be redeemed, as tables."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import (
    AlreadyUndone,
    BalanceTooLow,
    DomainError,
    Invalid,
    NotRedeemable,
    NotYourRedemption,
    OrganizationClosed,
    TooLateToUndo,
)
from shared.redemptions import rules
from shared.redemptions.rules import Holding, Item, Redemption

NOW = datetime(2026, 2, 12, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ZOO, MUSEUM = UUID(int=1), UUID(int=2)
AT_ZOO, AT_MUSEUM = Holding(ZOO, "Zoo", 2, False), Holding(MUSEUM, "Museum", 1, False)
AT_CLOSED, OF_INSTALLATION = Holding(ZOO, "Zoo", 2, True), Holding(None, None, 9, False)


@pytest.mark.parametrize(
    ("holdings", "org_id", "quantity", "expected"),
    [
        ([AT_ZOO], None, 2, ZOO),
        ([AT_ZOO], ZOO, 1, ZOO),
        ([AT_ZOO, OF_INSTALLATION], None, 1, ZOO),
        ([AT_ZOO, AT_MUSEUM], MUSEUM, 1, MUSEUM),
        ([AT_CLOSED, AT_MUSEUM], None, 1, MUSEUM),
        ([AT_ZOO, AT_MUSEUM], None, 1, Invalid),
        ([AT_ZOO], None, 3, BalanceTooLow),
        ([AT_ZOO], MUSEUM, 1, BalanceTooLow),
        ([OF_INSTALLATION], MUSEUM, 1, BalanceTooLow),
        ([], None, 1, BalanceTooLow),
        ([OF_INSTALLATION], None, 1, NotRedeemable),
        ([AT_CLOSED], None, 1, OrganizationClosed),
        ([AT_CLOSED, OF_INSTALLATION], ZOO, 1, OrganizationClosed),
    ],
)
def test_the_issuer_is_the_named_or_the_only_one(
    holdings: list[Holding], org_id: UUID | None, quantity: int, expected: UUID | type[DomainError]
) -> None:
    if isinstance(expected, UUID):
        assert rules.choose_issuer(holdings, "coffee", quantity, org_id) == expected
    else:
        with pytest.raises(expected):
            rules.choose_issuer(holdings, "coffee", quantity, org_id)


def test_an_ambiguous_item_names_the_choices() -> None:
    with pytest.raises(Invalid) as error:
        rules.choose_issuer([AT_ZOO, AT_MUSEUM], "coffee", 1, None)
    (field,) = error.value.field_errors
    assert field.loc == "body.org_id"
    assert all(text in field.message for text in ("Zoo", "Museum", str(ZOO), str(MUSEUM)))


@pytest.mark.parametrize(
    ("item", "quantity", "message"),
    [
        (Item("coffee"), 1_000_000, None),
        (Item("coffee", stock=5, redeemed=4), 1, None),
        (Item("coffee", stock=5, redeemed=4), 2, "1 left"),
        (Item("coffee", stock=5, redeemed=9), 1, "0 left"),
        (Item("coffee", stock=0), 1, "0 left"),
        (Item("coffee", expires_at=NOW + SECOND), 1, None),
        (Item("coffee", expires_at=NOW), 1, "until 2026-02-12T10:00:00Z"),
    ],
)
def test_stock_and_end_date_limit_an_item(item: Item, quantity: int, message: str | None) -> None:
    if message is None:
        rules.check_limits(item, quantity, NOW)
    else:
        with pytest.raises(NotRedeemable, match=message):
            rules.check_limits(item, quantity, NOW)


@pytest.mark.parametrize(
    ("caller", "age", "undone_at", "error"),
    [
        (ZOO, timedelta(minutes=15), None, None),
        (ZOO, timedelta(minutes=15) + SECOND, None, TooLateToUndo),
        (ZOO, SECOND, NOW, AlreadyUndone),
        (MUSEUM, SECOND, None, NotYourRedemption),
        (MUSEUM, SECOND, NOW, NotYourRedemption),
    ],
)
def test_undo_is_for_the_same_counter_within_15_minutes_once(
    caller: UUID, age: timedelta, undone_at: datetime | None, error: type[DomainError] | None
) -> None:
    redemption = Redemption(MUSEUM, MUSEUM, "coffee", 1, NOW - age, "member", ZOO, "ada", undone_at)
    if error is None:
        rules.check_undo(redemption, caller, NOW)
    else:
        with pytest.raises(error):
            rules.check_undo(redemption, caller, NOW)


def test_a_token_has_80_bits_and_fits_the_smallest_symbol() -> None:
    tokens = {rules.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{16}", token) for token in tokens)


@given(st.integers(0, 16), st.sampled_from(["", " ", "-", "\u200b", "\r\n"]))
def test_a_token_is_read_as_scanners_and_people_write_it(at: int, blank: str) -> None:
    token = "70K1-9QF2-M8XW-4CVB"
    digest = rules.token_digest(token.replace("-", ""))
    for text in (token, token.lower(), "]Q1" + token, blank + token + blank, token.replace("0", "o").replace("1", "l")):
        assert rules.token_digest(text) == digest
    assert rules.token_digest(f"{token[:at]} {token[at:]}") == digest
    assert rules.token_digest(token[:-1]) != digest
