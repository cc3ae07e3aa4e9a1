from __future__ import annotations

import re
from pathlib import Path

from shared.settings import Settings

CHECKOUT = Path(__file__).parents[2]


def test_names_every_setting() -> None:
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (CHECKOUT / ".env.example").read_text(), re.MULTILINE))
    assert {name.upper() for name in Settings.model_fields} - named == set()
