"""Steps and MACs of rotating codes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.codes.rotation import FORM, SAMPLE_STEP_MAC, Rotation, find_step_mac

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 2, 12, 12, tzinfo=UTC)
ROTATION = Rotation(30, b"k" * 32)
STEP = ROTATION.step_at(NOON)
GENUINE = ROTATION.sign(STEP)
STEP_TEXT, MAC = GENUINE.split(".")


@pytest.mark.parametrize(
    ("step_mac", "step"),
    [
        (GENUINE, STEP),
        (None, None),
        ("", None),
        (STEP_TEXT, None),
        (f"{STEP}.", None),
        (f"{STEP + 1}.{MAC}", None),
        (f"{STEP}.{MAC[:-1]}", None),
        (f"{STEP}.{MAC}A", None),
        (f"{STEP}.{MAC[::-1]}", None),
        (f"{STEP}.{MAC[:-1]}é", None),
        (f"-{GENUINE}", None),
        (f"{GENUINE}\n", None),
        (Rotation(30, b"o" * 32).sign(STEP), None),
        # The same step number at another length is another time.
        (Rotation(31, b"k" * 32).sign(STEP), None),
        (SAMPLE_STEP_MAC, None),
    ],
)
def test_verify_returns_the_step_of_a_genuine_mac_only(step_mac: str | None, step: int | None) -> None:
    assert ROTATION.verify(step_mac) == step


@given(
    st.integers(5, 3600),
    st.integers(0, 8 * 10**15).map(lambda us: EPOCH + timedelta(microseconds=us)),
)
def test_step_lasts_exactly_its_seconds(seconds: int, at: datetime) -> None:
    rotation = Rotation(seconds, b"k" * 32)
    step = rotation.step_at(at)

    assert at < rotation.end_of(step) <= at + timedelta(seconds=seconds)
    assert rotation.step_at(rotation.end_of(step)) == step + 1
    assert rotation.verify(rotation.sign(step)) == step
    assert len(rotation.sign(step)) <= len(SAMPLE_STEP_MAC) + 2


@pytest.mark.parametrize(
    ("steps_old", "is_current"), [(-2, False), (-1, True), (0, True), (1, True), (2, False), (20, False)]
)
def test_step_is_current_for_one_step_before_and_after(steps_old: int, is_current: bool) -> None:
    assert ROTATION.is_current(STEP - steps_old, NOON, NOON) == is_current


@given(st.integers(5, 3600), st.integers(0, 8 * 10**9), st.integers(0, 4 * 10**9))
def test_photograph_works_for_one_step_and_never_for_longer_than_two(seconds: int, taken_us: int, age_us: int) -> None:
    """With the default of 30 seconds, a photograph fails a minute later."""
    rotation = Rotation(seconds, b"k" * 32)
    taken, age = NOON + timedelta(microseconds=taken_us), timedelta(microseconds=age_us)
    is_current = rotation.is_current(rotation.step_at(taken), taken + age, taken + age)

    assert is_current or age >= timedelta(seconds=seconds)
    assert not is_current or age < timedelta(seconds=2 * seconds)


def test_every_wrong_bit_of_a_mac_is_rejected() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = {f"{STEP}.{MAC[:i]}{letter}{MAC[i + 1 :]}" for i in range(len(MAC)) for letter in alphabet} - {GENUINE}

    assert len(others) == 16 * 63
    assert not any(ROTATION.verify(other) for other in others)


@pytest.mark.parametrize(
    ("query", "step_mac"),
    [
        (f"t={GENUINE}", GENUINE),
        (f"utm_source=x&t={GENUINE}&utm_medium=qr", GENUINE),
        (f"t={STEP}%2E{MAC}", GENUINE),
        ("", None),
        ("t=", None),
        ("t=1.short", None),
        (f"T={GENUINE}", None),
        (f"t={GENUINE}&t={GENUINE}", None),
        (f"t={GENUINE}x", None),
        (f"x=t={GENUINE}", None),
        ("t=%ff%fe", None),
    ],
)
def test_step_mac_is_found_in_the_query_of_a_code_url(query: str, step_mac: str | None) -> None:
    assert find_step_mac(query) == step_mac


def test_secret_is_not_in_the_text_of_an_object() -> None:
    assert "kkk" not in repr(ROTATION)
    assert FORM.fullmatch(SAMPLE_STEP_MAC)
