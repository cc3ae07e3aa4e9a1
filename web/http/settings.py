"""The settings of the current application. Only create_app() reads them from the environment."""

from typing import cast

from flask import Flask, current_app

from shared.settings import Settings

EXTENSION = "waymark_settings"


def init_app(app: Flask, settings: Settings) -> None:
    """Store the settings. Requests read them with `current_settings()`."""
    app.extensions[EXTENSION] = settings


def current_settings() -> Settings:
    """Return the settings that create_app() read."""
    return cast("Settings", current_app.extensions[EXTENSION])
