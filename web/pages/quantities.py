"""Numbers, distances, durations and speeds in the language of the page, as filters of templates."""

from babel import Locale
from babel.core import UnknownLocaleError
from babel.numbers import format_decimal
from babel.units import format_unit
from flask import Flask

from web.pages.i18n import SOURCE, current_language

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def init_app(app: Flask) -> None:
    """Add the filters."""
    app.jinja_env.filters |= {"number": number, "distance": distance, "duration": duration, "speed": speed}


def number(value: float) -> str:
    """12,408"""
    return format_decimal(value, locale=_locale())


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
    try:
        return Locale.parse(current_language())
    except UnknownLocaleError:
        return Locale.parse(SOURCE)
