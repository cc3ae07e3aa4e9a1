"""Whether HTML is well-formed, by a parser that forgives nothing, and what a template must not contain."""

import re
from html.parser import HTMLParser

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
FORBIDDEN = {
    "an inline script": re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")", re.IGNORECASE),
    "an inline style": re.compile(r"<style\b|\sstyle\s*=(?!=)", re.IGNORECASE),
    "an event handler": re.compile(r"<[^>]*\son[a-z]+\s*=(?!=)", re.IGNORECASE),
    "a javascript: address": re.compile(r"javascript:", re.IGNORECASE),
    "an import map": re.compile(r"importmap", re.IGNORECASE),
    "unescaped text": re.compile(r"\|\s*safe\b|autoescape false"),
}


class Checker(HTMLParser):
    """Collect what is wrong with a page: tags that do not match, ids and attributes that occur twice."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.headings = 0
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.wrong.append(f"<{tag}> has an attribute twice: {names}")
        for name, value in attrs:
            if name == "id":
                if value in self.ids:
                    self.wrong.append(f"the id {value} occurs twice")
                self.ids.add(value or "")
        self.headings += tag == "h1"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes another element")


def faults_of(html: str) -> list[str]:
    """Return what is wrong with a page."""
    checker = Checker()
    checker.feed(html)
    checker.close()
    missing = [f"<{tag}> is not closed" for tag in checker.open]
    doctype = [] if html.lstrip().lower().startswith("<!doctype html>") else ["there is no doctype"]
    return checker.wrong + missing + doctype


def forbidden_in(template: str) -> list[str]:
    """Return what a template contains that the policy of pages refuses."""
    return [name for name, pattern in FORBIDDEN.items() if pattern.search(template)]
