"""Languages: every message is translated, templates and modules agree, and no text is left outside of the catalogs."""

import html
from pathlib import Path
from typing import Any

import pytest
from babel.messages import Catalog

from script import translations
from tests.pages.browsers import Complaints, watch
from tests.support.threaded_server import serving
from web.pages import i18n
from web.pages.assets import load_assets

MODULE = """async ([module, texts, values, numbers]) => {
    const {_, ngettext} = await import(module);
    return texts.flatMap(text => typeof text === 'string'
        ? [_(text, values)]
        : numbers.map(num => ngettext(...text, num, values)));
}"""
NUMBERS = (0, 1, 2, 5, 21, 999)
TIMES = """async module => {
    const {duration, longDay, relativeTime, shortTime, timeOfDay, weekdayTime} = await import(module);
    const at = new Date('2026-11-28T14:02:00Z');
    const ago = [0, 59, 300, -7200, 86400, 40 * 86400].map(seconds => relativeTime(+at - seconds * 1000, +at));
    return [longDay(at), shortTime(at), timeOfDay(at), weekdayTime(at), duration(252), duration(9), ...ago];
}"""


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
        ("Terms", "<i>Regels</i>", "contains markup"),
        ("Terms", "Regels &amp; zo", "contains markup"),
        ("Terms & more", "Regels & zo", None),
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


@pytest.mark.system
def test_templates_and_modules_write_the_same(app: Any, clean: None, browser: Any, complaints: Complaints) -> None:
    """In each language, for each message: plural form, placeholders, and values that look like markup or messages."""
    messages = [message.id for message in translations.extract() if message.id]
    named = translations.PLACEHOLDER.findall(" ".join(text for id_ in messages for text in translations.texts_of(id_)))
    values = {name[2:-2]: "<b>50% & %(name)s" for name in named if name[2:-2] != "num"}
    module = f"/static/{load_assets().digest}/js/core/i18n.js"
    environment = app.jinja_env
    one, many = (
        environment.from_string(f"{{{{ {call} }}}}")
        for call in ("_(text, **values)", "ngettext(text[0], text[1], num, **values)")
    )
    with serving(app) as address:
        for language in i18n.LANGUAGES:
            cookie = f"{i18n.COOKIE}={language}"
            with app.test_request_context(headers={"Cookie": cookie}):
                written = [
                    rendered
                    for text in messages
                    for rendered in (
                        [one.render(text=text, values=values)]
                        if isinstance(text, str)
                        else [many.render(text=text, num=num, values=values) for num in NUMBERS]
                    )
                ]
            context = browser.new_context(base_url=f"http://{address}", extra_http_headers={"Cookie": cookie})
            watch(context, complaints)
            page = context.new_page()
            page.goto("/about")
            shown = page.evaluate(MODULE, [module, messages, values, NUMBERS])
            context.close()
            assert "<" not in "".join(written)
            assert [html.unescape(text) for text in written] == shown


@pytest.mark.system
def test_times_follow_the_language_and_the_zone(app: Any, clean: None, browser: Any, complaints: Complaints) -> None:
    with serving(app) as address:
        context = browser.new_context(base_url=f"http://{address}", locale="de-AT", timezone_id="Asia/Kathmandu")
        watch(context, complaints)
        page = context.new_page()
        page.goto("/about")
        shown = page.evaluate(TIMES, f"/static/{load_assets().digest}/js/core/time.js")
        context.close()

    assert shown == [
        "Samstag, 28. November",
        "28.11.2026, 19:47",
        "19:47",
        "Samstag, 19:47",
        "4 min 12 s",
        "9 s",
        "jetzt",
        "jetzt",
        "vor 5 Minuten",
        "in 2 Stunden",
        "gestern",
        "letzten Monat",
    ]
