"""Captions: fitted, truncated, or replaced by the code text if the font lacks a character."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.renders import captions
from shared.renders.captions import ELLIPSIS, caption_text, fit
from shared.renders.label_templates import Caption

LATIN = frozenset(range(32, 0x250)) | {ord(ELLIPSIS)}


def mono(text: str) -> float:
    """Measure a font in which every character is half as wide as high."""
    return len(text) / 2


@pytest.mark.parametrize(
    ("kind", "description", "expected"),
    [
        ("none", "Dam square", ""),
        (None, "Dam square", ""),
        ("code", "Dam square", "spy123"),
        ("description", "Dam square", "Dam square"),
        ("description", "", "spy123"),
        ("description", " \n\t", "spy123"),
        ("description", "Dam\nsquare\t\u200b!", "Dam square !"),
        ("description", "Łódź", "Łódź"),
        ("description", "日本", "spy123"),
        ("description", "Dam 日本", "spy123"),
        ("description", "\U0001f600", "spy123"),
        ("description", "שלום", "spy123"),
    ],
)
def test_caption_text(kind: Caption | None, description: str, expected: str) -> None:
    assert caption_text(kind, "spy123", description, LATIN) == expected


def test_a_long_caption_is_shortened_before_it_is_fitted() -> None:
    text = caption_text("description", "spy123", "x" * (captions.MAX_LENGTH + 1), LATIN)
    assert text == "x" * (captions.MAX_LENGTH - 1) + ELLIPSIS


def test_right_to_left_text_is_not_supported() -> None:
    assert not captions.is_supported("שלום", frozenset(map(ord, "שלום")))


@pytest.mark.parametrize(
    ("text", "width", "height", "size", "lines"),
    [
        ("Dam", 100, 100, 10, ("Dam",)),
        ("Dam square", 30, 100, 10, ("Dam", "square")),
        ("Dam square", 24, 20, 8, ("Dam", "square")),
        ("abcdefghij", 25, 100, 10, ("abcde", "fghij")),
        ("a b c d e f g h i j", 5, 6, 5, ("a…",)),
        ("ab cdefghijkl m", 20, 60, 10, ("ab", "cdef", "ghij", "kl m")),
        ("abcde abcde", 25, 24, 10, ("abcde", "abcde")),
    ],
)
def test_fit(text: str, width: float, height: float, size: float, lines: tuple[str, ...]) -> None:
    fitted = fit(text, width, height, mono)
    assert fitted.lines == lines
    assert fitted.size <= size


@pytest.mark.parametrize("text", ["W" * 2_000, "i" * 2_000, "word " * 400], ids=["wide", "narrow", "words"])
def test_no_character_is_measured_twice(text: str) -> None:
    measured: list[str] = []

    def measure(character: str) -> float:
        measured.append(character)
        return mono(character)

    fit(text, 90, 90, measure)

    assert "".join(measured).removesuffix(ELLIPSIS) == text


LETTERS = st.text(st.characters(codec="latin-1", categories=["L", "N", "Zs"]), min_size=1, max_size=200)


@given(LETTERS, st.integers(12, 200), st.integers(7, 90))
def test_a_caption_fits_its_box(text: str, width: int, height: int) -> None:
    text = " ".join(text.split()) or "x"
    fitted = fit(text, width, height, mono)
    assert all(mono(line) * fitted.size <= width for line in fitted.lines)
    assert len(fitted.lines) == 1 or len(fitted.lines) * fitted.size * captions.LEADING <= height
    whole = "".join(fitted.lines).replace(" ", "")
    assert whole == text.replace(" ", "") or whole.endswith(ELLIPSIS)
