"""A pseudo-locale: every message with accents and 40 % longer, so that text outside of the catalogs shows."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from babel.messages import Catalog
from babel.messages.pofile import write_po

from script import translations
from web.pages import assets, i18n, layout

PSEUDO = "el"
"""Greek, which has no catalog here. Its dates and units are in another script than English."""
PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
ACCENTED = str.maketrans(PLAIN, "åƀçðéƒĝĥîĵķļɱñöþɋŕšţûṽŵẋýžÅƁÇÐÉƑĜĤÎĴĶĻṀÑÖÞɊŔŠŢÛṼŴẊÝŽ")
FILLER = " ļöñĝéŕ ŵöŕðš" * 20
FORMATTED = re.compile(rf"({translations.PLACEHOLDER.pattern}|%%)")


def accented(text: str) -> str:
    """Return a message without a single plain letter. Placeholders stay."""
    more = math.ceil(len(FORMATTED.sub("", text)) * 0.4)
    parts = [part if FORMATTED.fullmatch(part) else part.translate(ACCENTED) for part in FORMATTED.split(text)]
    # A single word becomes a longer word, which is what breaks buttons and tabs.
    return "".join(parts) + (FILLER[:more].rstrip() if " " in text else "é" * more)


@contextmanager
def pseudo_locale(folder: Path) -> Iterator[None]:
    """Serve all pages in the pseudo-locale."""
    catalog = Catalog()
    for message in translations.extract():
        if message.id:
            texts = translations.texts_of(message.id)
            made = tuple(accented(text) for text in texts)
            catalog.add(message.id, made if len(made) > 1 else made[0])
    path = folder / PSEUDO / "LC_MESSAGES" / "pages.po"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_po(file, catalog)
    for language in i18n.LANGUAGES:
        if language != i18n.SOURCE:
            (folder / language).symlink_to(i18n.FOLDER / language)
    caches = (i18n.load_catalog, i18n.load_translations, assets.load_assets, layout.preloads_of)
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(i18n, "FOLDER", folder)
        changed.setattr(i18n, "LANGUAGES", (*i18n.LANGUAGES, PSEUDO))
        changed.setattr(i18n, "current_language", lambda: PSEUDO)
        for cache in caches:
            cache.cache_clear()
        yield
    # Only now, so that no request fills them with the pseudo-locale again.
    for cache in caches:
        cache.cache_clear()
