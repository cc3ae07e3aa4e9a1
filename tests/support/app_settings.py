"""Other settings for an application that exists already."""

from typing import Any

import pytest
from flask import Flask

from shared.settings import settings
from web.http.settings import EXTENSION


def change_settings(app: Flask, monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    """Change settings that web reads with each request, until the test ends."""
    monkeypatch.setitem(app.extensions, EXTENSION, settings().model_copy(update=values))
