"""Languages: every message is translated, templates and modules agree, and no text is left outside of the catalogs."""

from pathlib import Path
from typing import Any

import pytest
from babel.messages import Catalog

from script import translations
from web.pages import i18n


def test_every_message_is_translated() -> None:
    """If this fails, run script/translations and translate the messages that it prints."""
    assert list(translations.find_problems(translations.extract())) == []


@pytest.mark.parametrize(
    ("source", "messages"),
    [
        ("_('Save')", ["Save"]),
        ('x = _(\n  "You\'re in",\n  { n })', ["You're in"]),
        (r"_('It\'s %(n)s\u2026')", ["It's %(n)s…"]),
        ("html`<p>${a ? html`<b>${_('One')}</b>` : _('Two')}</p>`", ["One", "Two"]),
        ("ngettext('%(num)s scan', '%(num)s scans', n)", [("%(num)s scan", "%(num)s scans")]),
        ("export function _(text, values = {}) {} // Texts are in `_()`. my_('x'), a._('y')", []),
    ],
)
def test_messages_of_a_module_are_found(source: str, messages: list[Any]) -> None:
    assert list(translations.module_messages(source)) == messages


@pytest.mark.parametrize("source", ["_(text)", "_(`Save`)", "_('a' + b)", "ngettext('one', many, n)"])
def test_message_that_is_not_a_literal_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"line 1: .* needs plain literals"):
        list(translations.module_messages(source))


@pytest.mark.parametrize(
    ("source", "translation", "problem"),
    [
        ("Hi %(name)s", "Hoi %(name)s", None),
        ("Hi %(name)s", "Hoi %(naam)s", "other placeholders"),
        ("Hi %(name)s", "Hoi", "other placeholders"),
        (("%(num)s scan", "%(num)s scans"), ("%(num)s scan", "scans"), "other placeholders"),
        ("At 200%%", "Bij 200%", "a % that is not doubled"),
        ("Terms", "<i>Regels</i>", "contains <, > or &"),
    ],
)
def test_wrong_translation_is_a_problem(source: Any, translation: Any, problem: str | None) -> None:
    catalog = Catalog()
    assert translations.difference(catalog.add(source), catalog.add(source, translation)) == problem


def test_missing_fuzzy_and_unused_messages_are_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i18n, "FOLDER", tmp_path)
    monkeypatch.setattr(translations, "TRANSLATED", ("nl",))
    write(tmp_path, "nl", 'msgid "Old"\nmsgstr "Oud"\n\n#, fuzzy\nmsgid "Save"\nmsgstr "Opslaan"\n')
    messages = Catalog()
    for text in ("Save", "New"):
        messages.add(text)

    assert list(translations.find_problems(messages)) == [
        "nl: not translated: 'Save'",
        "nl: not translated: 'New'",
        "nl: unused: 'Old'",
    ]
    translations.update("nl", messages)
    assert list(translations.find_problems(messages)) == ["nl: not translated: 'Save'", "nl: not translated: 'New'"]


def write(folder: Path, language: str, messages: str) -> None:
    path = folder / language / "LC_MESSAGES" / "pages.po"
    path.parent.mkdir(parents=True)
    path.write_text(
        translations.HEADER.format(language=language, plural_forms="nplurals=2; plural=(n != 1);") + messages
    )
