"""Invalid settings stop the process, and production rejects weak ones."""

import os
import subprocess
import sys
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.infra import redis as redises
from shared.settings import Settings, SettingsError, settings
from shared.settings import settings as read
from shared.settings_checks import WELL_KNOWN, find_production_warnings

GOOD = {
    "DATABASE_URL": "postgresql://u:p@db/waymark",
    "REDIS_URL": "redis://:p@redis:6379/0",
    "JWT_SECRET": "0123456789abcdef0123456789abcdef",
}

STRONG = "5b1f8d0c7a3e49628b7c6d5e4f3a2b1c9d8e7f605d4c3b2a19087f6e5d4c3b2a"
PRODUCTION = {
    "WAYMARK_ENV": "production",
    "PUBLIC_URL": "https://w.example",
    "DATABASE_URL": "postgresql://u:tK3nZ81vqQd@db/waymark",
    "REDIS_URL": "redis://:tK3nZ81vqQe@redis:6379/0",
    "JWT_SECRET": STRONG,
}
TOKEN = "b7Gq1xN0zV5kT2mW"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that reads the settings from GOOD with changes. None removes a variable."""

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
        ({"REDIS_URL": "redis+sentinel://:p@a:26379,b:26379"}, "REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://:p@a:26379,b:x/mymaster"}, "REDIS_URL"),
        ({"REDIS_URL": "redis+sentinel://:p@a/mymaster/0?timeout=3"}, "REDIS_URL"),
        ({"BROKER_URL": "http://x"}, "BROKER_URL"),
        ({"BROKER_URL": "amqp://u:p@a/v;redis://b"}, "BROKER_URL"),
        ({"BROKER_URL": "amqp://u:p/w@a:5672/v"}, "BROKER_URL"),
        ({"JWT_SECRET": None}, "JWT_SECRET"),
        ({"JWT_SECRET": "short"}, "JWT_SECRET"),
        ({"PORT": "http"}, "PORT"),
        ({"PUBLIC_URL": "javascript:alert(1)"}, "PUBLIC_URL"),
        ({"MAX_WEBSOCKETS": "-1"}, "MAX_WEBSOCKETS"),
        ({"SCAN_DEFAULT_WAIT": "11"}, "SCAN_DEFAULT_WAIT"),
        ({"RATE_LIMIT_SCAN": "often"}, "RATE_LIMIT_SCAN"),
        ({"RATE_LIMIT_SCAN": "0 per minute"}, "RATE_LIMIT_SCAN"),
        ({"RATE_LIMIT_LOGIN_PER_USERNAME": "100 per second"}, "RATE_LIMIT_LOGIN_PER_USERNAME_AND_ADDRESS"),
        *(
            ({"MAP_TILES": template, "MAP_ATTRIBUTION": "Tiles by x"}, "MAP_TILES")
            for template in (
                "http://tiles.example/{z}/{x}/{y}.png",
                "https://{s}.tiles.example/{z}/{x}/{y}.png",
                "https://tiles.example/{z}/{x}.png",
                "https://tiles.example/{z}/{x}/{y}/{y}.png",
                "https://tiles.example/{z}/{x}/{y}{r}.png",
                "https://tiles.example; script-src *;/{z}/{x}/{y}.png",
            )
        ),
        ({"MAP_TILES": "https://tiles.example/{z}/{x}/{y}.png"}, "MAP_ATTRIBUTION"),
        ({"ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS"),
        ({"ALLOWED_ORIGINS": "null"}, "ALLOWED_ORIGINS"),
        ({"TRUSTED_PROXIES": "all"}, "TRUSTED_PROXIES"),
        (PRODUCTION | {"PUBLIC_URL": None}, "PUBLIC_URL"),
        (PRODUCTION | {"GRPC_TOKEN": TOKEN, "GRPC_SERVER_URL": "catalog:50051"}, "GRPC_TLS"),
        (PRODUCTION | {"GRPC_TOKEN": TOKEN, "GRPC_SERVER_URL": "10.0.0.7:50051"}, "GRPC_TLS"),
        *(
            (PRODUCTION | {"JWT_SECRET": secret}, "JWT_SECRET")
            for secret in (
                "x" * 64,
                "0123456789abcdef0123456789abcdef",
                "f3a91c07e5b2d8f3a91c07e5b2d8f3a91c07e5b2d8",
                "Your-256-bit-secret-your-256-bit-secret",
                "please-change-me-1f8d0c7a3e49628b7c6d5e",
                "django-insecure-1f8d0c7a3e49628b7c6d5e4f",
                "waymark-1f8d0c7a3e49628b7c6d5e4f3a2b1c",
                STRONG[:31],
            )
        ),
        (PRODUCTION | {"DATABASE_URL": "postgresql://waymark:password@db/waymark"}, "DATABASE_URL"),
        (PRODUCTION | {"DATABASE_URL": "postgresql://postgres:postgres@db/waymark"}, "DATABASE_URL"),
        (PRODUCTION | {"DATABASE_URL": "postgresql://u@db/waymark?password=tK3nZ81"}, "DATABASE_URL"),
        (PRODUCTION | {"REDIS_URL": "redis://:p%61ssword99@redis:6379/0"}, "REDIS_URL"),
        (PRODUCTION | {"REDIS_URL": "redis+sentinel://:tK3nZ81vqQe@a/m/0?sentinel_password=secret"}, "REDIS_URL"),
        (PRODUCTION | {"BROKER_URL": "amqp://u:tK3nZ81vqQe@a/v;amqp://guest:guest@b/v"}, "BROKER_URL"),
        (PRODUCTION | {"GRPC_TOKEN": "short", "GRPC_TLS": "true"}, "GRPC_TOKEN"),
        (PRODUCTION | {"METRICS_TOKEN": "metrics"}, "METRICS_TOKEN"),
        (PRODUCTION | {"FLASK_DEBUG": "1"}, "FLASK_DEBUG"),
    ],
)
def test_wrong_setting_exits_with_its_name(load: Any, changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as ended:
        load(**changes)
    assert named in str(ended.value)
    for secret in (GOOD["JWT_SECRET"], STRONG, "tK3nZ81", "password@", TOKEN):
        assert secret not in str(ended.value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"DATABASE_URL": "postgresql://waymark@db/waymark", "REDIS_URL": "redis://redis:6379/0"},
        {"FLASK_DEBUG": "0"},
        {"JWT_SECRET": "Zx0p/Qm4+7Lr9sTn2UvWyA1bCdEeFfGg"},
    ],
    ids=str,
)
def test_production_accepts_strong_secrets(load: Any, changes: dict[str, str]) -> None:
    assert load(**PRODUCTION | changes).is_production


def test_production_rejects_python_dev_mode() -> None:
    command = (sys.executable, "-X", "dev", "-c", "from shared.settings import settings; settings()")
    ended = subprocess.run(command, env=os.environ | PRODUCTION, capture_output=True, text=True)

    assert ended.returncode != 0
    assert "PYTHONDEVMODE" in ended.stderr


@given(st.binary(min_size=32, max_size=64))
def test_random_secret_is_not_taken_for_an_example(raw: bytes) -> None:
    digest = sha256(raw).digest() * 2
    for secret in (digest[:48].hex(), b64encode(digest[:33] + raw).decode()):
        assert not WELL_KNOWN.search(secret.lower())


def test_production_warnings_name_the_setting(load: Any) -> None:
    odd = {"PUBLIC_URL": "http://w.example", "ALLOWED_ORIGINS": "http://g.example", "RATE_LIMITS_ENABLED": "false"}

    usual = PRODUCTION | {"RATE_LIMITS_ENABLED": "true", "TRUSTED_PROXIES": "1", "METRICS_TOKEN": TOKEN}
    assert not list(find_production_warnings(load(**usual)))
    for name, value in (("TRUSTED_PROXIES", "0"), ("METRICS_TOKEN", "")):
        (warning,) = find_production_warnings(load(**usual | {name: value}))
        assert warning.startswith(f"{name} ")
    assert [
        each.partition(" ")[0] for each in find_production_warnings(load(**PRODUCTION | odd, LOG_LEVEL="DEBUG"))
    ] == [
        "PUBLIC_URL",
        "ALLOWED_ORIGINS",
        "LOG_LEVEL",
        "RATE_LIMITS_ENABLED",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"GRPC_SERVER_URL": "catalog:50051", "GRPC_TOKEN": ""},
        {"GRPC_SERVER_URL": "catalog:50051", "GRPC_TOKEN": TOKEN, "GRPC_TLS": "true"},
        {"GRPC_SERVER_URL": "127.0.0.1:50051", "GRPC_TOKEN": TOKEN},
        {"GRPC_SERVER_URL": "[::1]:50051", "GRPC_TOKEN": TOKEN},
        {"GRPC_SERVER_URL": "localhost:50051", "GRPC_TOKEN": TOKEN, "GRPC_CA_FILE": ""},
    ],
)
def test_grpc_token_over_tls_or_loopback_is_allowed(load: Any, changes: dict[str, Any]) -> None:
    assert not load(**PRODUCTION | changes).sends_grpc_token_in_clear
    assert load(GRPC_SERVER_URL="catalog:50051", GRPC_TOKEN=TOKEN, GRPC_TLS="false").sends_grpc_token_in_clear


@pytest.mark.parametrize("password", ["tK3n/Z81", "tK3n@Z81", "tK3n#Z81", "tK3n?Z81"])
def test_password_that_breaks_the_url_is_refused_and_not_printed(load: Any, password: str) -> None:
    with pytest.raises(SettingsError) as exited:
        load(DATABASE_URL=f"postgresql://u:{password}@db/w")
    assert "DATABASE_URL: Use a postgresql:// URL with a percent-encoded" in str(exited.value)
    assert "tK3n" not in str(exited.value)
    assert "Z81" not in str(exited.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:tK3n%2FZ81@db:5432/w?sslmode=require",
        "postgresql://u:p@[::1]:5432/w",
        "postgresql://u:p@first:5432,second:5433/w?target_session_attrs=read-write",
        "postgresql://u@%2Fvar%2Frun%2Fpostgresql/w",
        "postgresql:///w?host=/var/run/postgresql",
    ],
)
def test_every_form_of_a_postgresql_url_is_accepted(load: Any, url: str) -> None:
    assert load(DATABASE_URL=url).database_url.get_secret_value() == url


def test_postgres_scheme_of_heroku_is_accepted(load: Any) -> None:
    assert load(DATABASE_URL="postgres://u:p@db/w").database_url.get_secret_value() == "postgresql://u:p@db/w"


def test_repr_has_no_secrets(load: Any) -> None:
    shown = repr(load())
    assert "0123456789abcdef" not in shown
    assert ":p@" not in shown


def test_origins_are_normalized_as_browsers_send_them(load: Any) -> None:
    values = load(ALLOWED_ORIGINS="https://Game.example:443, http://localhost:3000").allowed_origins
    assert values == ("https://game.example", "http://localhost:3000")


def test_settings_are_frozen(load: Any) -> None:
    with pytest.raises(ValidationError):
        load().port = 1


@pytest.mark.parametrize(("policy", "refused"), [("allkeys-lru", True), ("volatile-lru", False), ("noeviction", False)])
def test_production_rejects_a_redis_that_evicts(
    clean: None, monkeypatch: pytest.MonkeyPatch, policy: str, refused: bool
) -> None:
    producing = settings().model_copy(update={"waymark_env": "production"})
    monkeypatch.setattr(redises, "settings", lambda: producing)
    redises.client().config_set("maxmemory-policy", policy)
    try:
        if refused:
            with pytest.raises(SettingsError, match=policy):
                redises.require_no_eviction()
        else:
            redises.require_no_eviction()
    finally:
        redises.client().config_set("maxmemory-policy", "noeviction")
