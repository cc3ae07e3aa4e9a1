"""Attacks on an installation with defaults: well-known secrets, and a Redis that evicts."""

from unittest.mock import patch

from pydantic import ValidationError

from shared import settings as settings_module
from shared.infra import redis as redises
from shared.settings import Settings, SettingsError, settings
from tests.security import source
from tests.security.attack import Attack, Scene, all_of, replaced

KNOWN = ("", "secret", "changeme", "x" * 64, "change-me" * 8, "0" * 64)


def known_secret(_scene: Scene) -> bool:
    """Return True if production starts with a guessable secret. An attacker could sign tokens with it."""
    assert starts("8f1d0c7b5a3e49628b7c6d5e4f3a2b1c")
    return any(starts(secret) for secret in KNOWN)


def starts(secret: str) -> bool:
    told = settings().model_dump() | {
        "waymark_env": "production",
        "public_url": "https://waymark.example",
        "database_url": "postgresql://u:tK3nZ81vqQd@db/waymark",
        "redis_url": "redis://:tK3nZ81vqQe@redis:6379/0",
    }
    try:
        Settings(**told | {"jwt_secret": secret})
    except ValidationError:
        return False
    return True


def store_that_forgets(scene: Scene) -> bool:
    """Return True if production starts on a Redis that evicts messages once its memory is full."""
    producing = settings().model_copy(update={"waymark_env": "production"})
    redises.client().config_set("maxmemory-policy", "allkeys-lru")
    try:
        with patch.object(redises, "settings", lambda: producing):
            redises.require_no_eviction()
    except SettingsError:
        return False
    finally:
        redises.client().config_set("maxmemory-policy", "noeviction")
    return True


def objects_out_of_bytes(_scene: Scene) -> bool:
    """Return True if any module unpickles. An attacker who writes to Redis or a disk could run code."""
    return any(finding.what == "pickle" for finding in source.dangers(source.sources(*source.LOOKED_AT)))


ATTACKS = [
    Attack(
        "default secrets in production",
        known_secret,
        all_of(
            replaced(settings_module, "find_conflicts", lambda _: ()),
            replaced(settings_module, "find_production_errors", lambda _: ()),
        ),
    ),
    Attack(
        "evicting Redis in production",
        store_that_forgets,
        replaced(redises, "require_no_eviction", lambda: None),
    ),
    Attack("pickle anywhere", objects_out_of_bytes, replaced(source, "sources", lambda *_: {"a.py": "import pickle"})),
]
