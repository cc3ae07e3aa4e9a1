"""Applications with settings of a test's own."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture
def serve(clean: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes an application under these settings, and gives a client of it: `serve(TRUSTED_PROXIES="1")`."""
    from shared.settings import settings
    from web.app import create_app

    def make(**changed: str) -> Any:
        for name, value in changed.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return create_app().test_client()

    yield make
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def limited(serve: Callable[..., Any]) -> Callable[..., Any]:
    """The same with limits on: `limited(LOGIN="2 per minute")`; what is not named is too wide to matter."""

    def make(*, proxies: int = 0, **limits: str) -> Any:
        named = {f"RATE_LIMIT_{name}": limit for name, limit in limits.items()}
        wide = dict.fromkeys(("RATE_LIMIT_LOGIN", "RATE_LIMIT_LOGIN_NAME"), "1000 per minute")
        return serve(RATE_LIMITS_ENABLED="true", TRUSTED_PROXIES=str(proxies), **(wide | named))

    return make
