"""Settings fail loudly, and production refuses what only a demo may have."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared import redis as redises
from shared.settings import Settings, SettingsError, settings
from shared.settings import settings as read

GOOD = {
    "DATABASE_URL": "postgresql://u:p@db/waymark",
    "REDIS_URL": "redis://:p@redis:6379/0",
    "JWT_SECRET": "0123456789abcdef0123456789abcdef",
}

PRODUCTION = {"WAYMARK_ENV": "production", "PUBLIC_URL": "https://w.example"}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads the settings from GOOD with changes; None takes a variable away."""

    def make(**changes: str | None) -> Settings:
        for name in ("WAYMARK_ENV", "PUBLIC_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (GOOD | changes).items():
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        read.cache_clear()
        return read()

    yield make
    monkeypatch.undo()
    read.cache_clear()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"DATABASE_URL": None}, "DATABASE_URL"),
        ({"DATABASE_URL": "mysql://x"}, "DATABASE_URL"),
        ({"REDIS_URL": "http://x"}, "REDIS_URL"),
        ({"JWT_SECRET": None}, "JWT_SECRET"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET"),
        ({"PORT": "http"}, "PORT"),
        ({"PUBLIC_URL": "javascript:alert(1)"}, "PUBLIC_URL"),
        ({"WEB_THREADS": "8", "WEB_SOCKETS": "8"}, "WEB_SOCKETS"),
        ({"SCAN_DEFAULT_WAIT": "11"}, "SCAN_DEFAULT_WAIT"),
        ({"WAYMARK_ENV": "production", "PUBLIC_URL": "https://w.example", "JWT_SECRET": "x" * 64}, "JWT_SECRET"),
        ({"WAYMARK_ENV": "production"}, "PUBLIC_URL"),
        (PRODUCTION | {"GRPC_TOKEN": "t", "GRPC_SERVER_URL": "catalog:50051"}, "GRPC_TLS"),
        (PRODUCTION | {"GRPC_TOKEN": "t", "GRPC_SERVER_URL": "10.0.0.7:50051"}, "GRPC_TLS"),
    ],
)
def test_a_wrong_setting_ends_the_process_with_its_name(load: Any, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as ended:
        load(**changes)
    assert named in str(ended.value)
    assert GOOD["JWT_SECRET"] not in str(ended.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"GRPC_SERVER_URL": "catalog:50051", "GRPC_TOKEN": ""},
        {"GRPC_SERVER_URL": "catalog:50051", "GRPC_TOKEN": "t", "GRPC_TLS": "true"},
        {"GRPC_SERVER_URL": "127.0.0.1:50051", "GRPC_TOKEN": "t"},
        {"GRPC_SERVER_URL": "[::1]:50051", "GRPC_TOKEN": "t"},
        {"GRPC_SERVER_URL": "localhost:50051", "GRPC_TOKEN": "t", "GRPC_CA_FILE": ""},
    ],
)
def test_a_token_that_nobody_else_could_read(load: Any, changes: dict[str, Any]) -> None:
    assert not load(**PRODUCTION | changes).sends_token_in_clear
    assert load(GRPC_SERVER_URL="catalog:50051", GRPC_TOKEN="t", GRPC_TLS="false").sends_token_in_clear


def test_herokus_spelling_is_understood(load: Any) -> None:
    assert load(DATABASE_URL="postgres://u:p@db/w").database_url.get_secret_value() == "postgresql://u:p@db/w"


def test_secrets_do_not_show(load: Any) -> None:
    shown = repr(load())
    assert "0123456789abcdef" not in shown
    assert ":p@" not in shown


def test_origins_are_compared_as_browsers_write_them(load: Any) -> None:
    told = load(ALLOWED_ORIGINS="https://Game.example:443, http://localhost:3000").allowed_origins
    assert told == ("https://game.example", "http://localhost:3000")


def test_settings_are_frozen(load: Any) -> None:
    with pytest.raises(ValidationError):
        load().port = 1


@pytest.mark.parametrize(("policy", "refused"), [("allkeys-lru", True), ("volatile-lru", False), ("noeviction", False)])
def test_production_refuses_a_redis_that_evicts(
    clean: None, monkeypatch: pytest.MonkeyPatch, policy: str, refused: bool
) -> None:
    producing = settings().model_copy(update={"waymark_env": "production"})
    monkeypatch.setattr(redises, "settings", lambda: producing)
    redises.client().config_set("maxmemory-policy", policy)
    try:
        if refused:
            with pytest.raises(SettingsError, match=policy):
                redises.refuse_eviction()
        else:
            redises.refuse_eviction()
    finally:
        redises.client().config_set("maxmemory-policy", "noeviction")
