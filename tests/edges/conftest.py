"""Applications with settings of a test's own."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

MADE_WITH = ("RATE_LIMITS_ENABLED", "TRUSTED_PROXIES", "REDIS_URL")
"""What an application looks at when it is made; everything else, with each request."""


@pytest.fixture(scope="session")
def applications() -> dict[tuple[str | None, ...], Any]:
    """Those made so far: it takes a while."""
    return {}


@pytest.fixture
def serve(
    clean: None, monkeypatch: pytest.MonkeyPatch, applications: dict[tuple[str | None, ...], Any]
) -> Iterator[Callable[..., Any]]:
    """Gives a client of an application under these settings: `serve(TRUSTED_PROXIES="1")`."""
    from shared.settings import settings
    from web.app import create_app

    def make(**changed: str) -> Any:
        for name, value in changed.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        made_with = tuple(os.environ.get(name) for name in MADE_WITH)
        if made_with not in applications:
            applications[made_with] = create_app()
        return applications[made_with].test_client()

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
