"""Update the catalogs of the pages from their templates and modules, or check that every message is translated."""

import re
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages import Catalog, Message
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from web.pages import i18n

Texts = str | tuple[str, str]

PAGES = Path(__file__).parent.parent / "web" / "pages"
CALL = re.compile(r"(?<![\w$.])(?<!function )(_|ngettext)\(\s*(?![\s)])")
TEXT = r"""('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")\s*(?=[,)])"""
ONE_TEXT = re.compile(TEXT)
TWO_TEXTS = re.compile(rf"{TEXT},\s*{TEXT}")
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]")
MARKUP = re.compile(r"[<>]|&\w+;")
LINE_WIDTH = 120
HEADER = """\
msgid ""
msgstr ""
"Language: {language}\\n"
"Plural-Forms: {plural_forms}\\n"
"Content-Type: text/plain; charset=utf-8\\n"

"""
TRANSLATED = i18n.LANGUAGES[1:]


def main() -> int:
    """Update the catalogs, or check them. Return the exit status."""
    messages = extract()
    is_check = sys.argv[1:] == ["--check"]
    if not is_check:
        for language in TRANSLATED:
            update(language, messages)
    problems = list(find_problems(messages))
    print("\n".join(problems) or f"All {len(messages)} messages are translated.")
    return 1 if is_check and problems else 0


def extract() -> Catalog:
    """Return the messages of all templates and modules. Raise ValueError for a call without a plain literal."""
    catalog = Catalog()
    for file in sorted(PAGES.glob("templates/**/*.*")):
        for texts in template_messages(file.read_bytes()):
            catalog.add(texts, locations=[(file.relative_to(PAGES).as_posix(), 0)])
    for file in sorted(PAGES.glob("static/js/**/*.js")):
        try:
            for texts in module_messages(file.read_text()):
                catalog.add(texts, locations=[(file.relative_to(PAGES).as_posix(), 0)])
        except ValueError as error:
            raise ValueError(f"{file.name}: {error}") from error
    return catalog


def template_messages(source: bytes) -> Iterator[Texts]:
    """Return the messages of a template: a text, or the singular and the plural."""
    for _, name, texts, _ in babel_extract(BytesIO(source), ("_", "gettext", "ngettext"), (), {"silent": "false"}):
        literals = [text for text in texts_of(texts) if text]
        yield (literals[0], literals[1]) if name == "ngettext" else literals[0]


def module_messages(source: str) -> Iterator[Texts]:
    """Return the messages of a module.

    Babel's own extraction misses calls in a template literal inside another one, as htm has them.
    """
    for call in CALL.finditer(source):
        arguments = (TWO_TEXTS if call[1] == "ngettext" else ONE_TEXT).match(source, call.end())
        if arguments is None:
            line = source.count("\n", 0, call.start()) + 1
            raise ValueError(f"line {line}: {call[1]}() needs plain literals")
        texts = [unescape(text[1:-1]) for text in arguments.groups()]
        yield (texts[0], texts[1]) if call[1] == "ngettext" else texts[0]


def unescape(literal: str) -> str:
    """Return the text of a JavaScript literal."""
    return ESCAPE.sub(
        lambda match: chr(int(match[1], 16)) if match[1] else {"n": "\n"}.get(match[2], match[2]), literal
    )


def update(language: str, messages: Catalog) -> None:
    """Add new messages to a catalog, and remove the unused ones."""
    catalog = read(language)
    catalog.update(messages, no_fuzzy_matching=True)
    with path_of(language).open("wb") as file:
        # Babel's own header has dates, which differ in every branch.
        file.write(HEADER.format(language=language, plural_forms=catalog.plural_forms).encode())
        write_po(
            file, catalog, LINE_WIDTH, omit_header=True, sort_output=True, ignore_obsolete=True, include_lineno=False
        )


def find_problems(messages: Catalog) -> Iterator[str]:
    """Return a line for each message that is not translated, is unused, or is translated wrongly."""
    for language in TRANSLATED:
        translated = {message.id: message for message in read(language) if message.id}
        for message in messages:
            if not message.id:
                continue
            found = translated.pop(message.id, None)
            if found is None or not all(texts_of(found.string)) or found.fuzzy:
                yield f"{language}: not translated: {source_of(message)!r}"
            elif reason := difference(message, found):
                yield f"{language}: {reason}: {source_of(message)!r}"
        for unused in translated.values():
            yield f"{language}: unused: {source_of(unused)!r}"


def difference(message: Message, translated: Message) -> str | None:
    """Return what is wrong with a translation. None if nothing is."""
    wanted = [sorted(PLACEHOLDER.findall(text)) for text in texts_of(message.id)]
    found = [sorted(PLACEHOLDER.findall(text)) for text in texts_of(translated.string)]
    if found != wanted:
        return "other placeholders"
    for text in (*texts_of(message.id), *texts_of(translated.string)):
        # Templates format messages with the operator %, and modules with a function that knows placeholders and %%.
        if "%" in PLACEHOLDER.sub("", text).replace("%%", ""):
            return "a % that is not doubled"
        # Templates take messages as HTML, and modules as text.
        if MARKUP.search(text):
            return "contains markup"
    return None


def texts_of(texts: Any) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def source_of(message: Message) -> str:
    return texts_of(message.id)[0]


def path_of(language: str) -> Path:
    return i18n.FOLDER / language / "LC_MESSAGES" / "pages.po"


def read(language: str) -> Catalog:
    with path_of(language).open("rb") as file:
        return read_po(file, locale=language)


if __name__ == "__main__":
    sys.exit(main())
