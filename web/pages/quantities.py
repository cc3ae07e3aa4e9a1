"""Numbers, distances, durations and speeds in the language of the page, as filters of templates."""

from functools import lru_cache

from babel import Locale
from babel.numbers import format_compact_decimal, format_decimal, format_percent
from babel.units import format_unit
from flask import Flask

from web.pages.i18n import current_language, locale_of

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def init_app(app: Flask) -> None:
    """Add the filters."""
    app.jinja_env.filters |= {
        "number": number,
        "percent": percent,
        "compact": compact,
        "distance": distance,
        "duration": duration,
        "speed": speed,
    }


def number(value: float) -> str:
    """12,408"""
    return _number(value, current_language())


def percent(share: float) -> str:
    """88%, 0.2%"""
    return format_percent(share, "0.#%" if 0 < share < 0.01 else None, _locale())


def compact(value: float) -> str:
    """9,500 or 12K: a number beside which there is little room."""
    return number(value) if value < 10_000 else format_compact_decimal(value, locale=_locale(), fraction_digits=1)


def distance(meters: float) -> str:
    """4.2 m, 60 m, 1.5 km, 140 km"""
    if meters < 1_000:
        return format_unit(_rounded(meters), "length-meter", "short", locale=_locale())
    return format_unit(_rounded(meters / 1_000), "length-kilometer", "short", locale=_locale())


def duration(seconds: float) -> str:
    """45 seconds, 3 minutes, 2.5 hours, 3 days"""
    for size, unit in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= 2 * size or seconds == size:
            return format_unit(round(seconds / size, 1), f"duration-{unit}", "long", locale=_locale())
    return format_unit(_rounded(seconds), "duration-second", "long", locale=_locale())


def speed(meters_per_second: float) -> str:
    """778 m/s"""
    return format_unit(_rounded(meters_per_second), "speed-meter-per-second", "short", locale=_locale())


def _rounded(value: float) -> float:
    """Return small values with one decimal, and others without."""
    return round(value, 1) if value < 10 else round(value)


def _locale() -> Locale:
    return locale_of(current_language())


@lru_cache(maxsize=10_000)
def _number(value: float, language: str) -> str:
    # The chart of a year has thousands of numbers, few of which differ.
    return format_decimal(value, locale=locale_of(language))
