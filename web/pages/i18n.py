"""Languages of the pages: gettext catalogs, compiled when they are first used.

English is the source. Templates and modules share one catalog per language.
"""

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from babel import Locale
from babel.core import UnknownLocaleError
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, g, request

FOLDER = Path(__file__).parent / "translations"
SOURCE = "en"
LANGUAGES = (SOURCE, *sorted(path.parent.parent.name for path in FOLDER.glob("*/LC_MESSAGES/pages.po")))
NAMES = {language: Locale.parse(language).get_display_name(language) for language in LANGUAGES}
COOKIE = "waymark_lang"


def init_app(app: Flask) -> None:
    """Give templates `_()`, `gettext()` and `ngettext()` in the language of the request."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: load_translations(current_language()).gettext(text),
        lambda one, many, n: load_translations(current_language()).ngettext(one, many, n),
        newstyle=True,
    )


def current_language() -> str:
    """Return the language of this request: that of its cookie, else one that the browser accepts, else English."""
    if "language" not in g:
        g.language = negotiate(request.cookies.get(COOKIE), list(request.accept_languages.values()))
    language: str = g.language
    return language


@cache
def locale_of(language: str) -> Locale:
    """Return how numbers and dates are written in a language of the pages. Unknown ones are written as in English."""
    try:
        return Locale.parse(language)
    except UnknownLocaleError:
        return Locale.parse(SOURCE)


def negotiate(chosen: str | None, accepted: list[str]) -> str:
    """Return the language to use, of those that there are translations for."""
    wanted = [name.replace("-", "_") for name in ([chosen] if chosen in LANGUAGES else accepted) if name]
    try:
        found = Locale.negotiate(wanted, LANGUAGES)
    except ValueError:
        found = None
    return str(found) if found else SOURCE


def messages(language: str) -> dict[str, Any]:
    """Return the catalog for modules: each message and its translation, or translations by plural form."""
    if language == SOURCE:
        return {}
    catalog: dict[str, Any] = {}
    for message in load_catalog(language):
        if message.id and message.string and not message.fuzzy:
            key = message.id if isinstance(message.id, str) else message.id[0]
            catalog[key] = list(message.string) if isinstance(message.string, tuple) else message.string
    return catalog


@cache
def load_translations(language: str) -> NullTranslations:
    """Return the translations for templates."""
    if language == SOURCE:
        return NullTranslations()
    file = BytesIO()
    write_mo(file, load_catalog(language))
    file.seek(0)
    return Translations(file)


@cache
def load_catalog(language: str) -> Any:
    """Return the catalog of a language other than English."""
    with (FOLDER / language / "LC_MESSAGES" / "pages.po").open("rb") as file:
        return read_po(file, locale=language)
