"""The reasons of verdicts in the words of staff: complete, and the same in templates and modules."""

import re
from pathlib import Path

from flask import Flask, render_template_string

from shared.scans.rules import REASONS

MODULE = Path(__file__).parents[2] / "web" / "pages" / "static" / "js" / "staff" / "reasons.js"


def test_every_reason_has_words_which_are_the_same_everywhere(app: Flask) -> None:
    with app.test_request_context():
        lines = render_template_string(
            '{% from "parts/reasons.html" import reasons with context %}'
            "{% for name, words in reasons.items() %}{{ name }}={{ words | safe }}\n{% endfor %}"
        )
    of_templates = dict(line.split("=") for line in lines.splitlines())
    of_modules = {
        name: single or double
        for name, single, double in re.findall(r"""(\w+): _\((?:'([^']+)'|"([^"]+)")\)""", MODULE.read_text())
    }

    assert tuple(of_templates) == REASONS
    assert of_modules == of_templates
