"""Attacks on the space of an installation: one caller stores without end."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from shared.generated_codes import store as generated_codes
from shared.organizations import api_keys, store, usage
from tests.security.attack import Attack, Scene, replaced
from web.api import organizations
from web.http.settings import EXTENSION

LIMIT = 2
DROP = {"scan_type": "item_drop"}
KEY = {"name": "Kiosk", "scopes": ["scan"]}


def endless(path: Callable[[Scene], str], body: Any, quota: str) -> Callable[[Scene], bool]:
    """Return an attempt to create more than `quota` allows."""

    def attempt(scene: Scene) -> bool:
        settings = scene.app.extensions[EXTENSION].model_copy(update={quota: LIMIT})
        with patch.dict(scene.app.extensions, {EXTENSION: settings}):
            return all(scene.lets("POST", path(scene), scene.attacker.owner, body) for _ in range(LIMIT + 1))

    return attempt


def a_guest_with_an_organization(scene: Scene) -> bool:
    """Guests are free, so a quota per account would not limit them."""
    settings = scene.app.extensions[EXTENSION].model_copy(update={"organization_creation": "accounts"})
    with patch.dict(scene.app.extensions, {EXTENSION: settings}):
        return scene.lets("POST", "/api/organizations", scene.attacker.stranger, {"name": "Zoo"})


def codes(scene: Scene) -> str:
    return scene.attacker.codes


ATTACKS = [
    Attack(
        "organizations of guests",
        a_guest_with_an_organization,
        replaced(organizations, "_check_creation", lambda *_: None),
    ),
    Attack(
        "organizations without end",
        endless(lambda _: "/api/organizations", {"name": "Zoo"}, "max_organizations_per_account"),
        replaced(store, "check_quota", lambda *_: None),
    ),
    Attack(
        "API keys without end",
        endless(lambda scene: f"{scene.attacker.path}/api-keys", KEY, "max_api_keys_per_organization"),
        replaced(api_keys, "check_quota", lambda *_: None),
    ),
    Attack(
        "codes without end",
        endless(codes, DROP, "max_codes_per_organization"),
        replaced(usage, "check_codes", lambda *_, **__: None),
    ),
    Attack(
        "imported codes without end",
        endless(lambda scene: f"{codes(scene)}/bulk", {"codes": [DROP]}, "max_codes_per_organization"),
        replaced(usage, "check_codes", lambda *_, **__: None),
    ),
    Attack(
        "generated codes without end",
        endless(lambda _: "/generate", {"data": "x"}, "max_generated_codes_per_player"),
        replaced(generated_codes, "check_quota", lambda *_, **__: None),
    ),
]
