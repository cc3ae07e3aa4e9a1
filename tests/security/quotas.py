"""Attacks on the space of an installation: one caller stores without end."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from shared.codes import store as code_store
from shared.generated_codes import store as generated_codes
from shared.imports import store as imports
from shared.organizations import api_keys, store, usage
from shared.quests import organization_quests
from shared.renders import store as renders
from tests.imports.factories import many, upload
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


def endless_quests(scene: Scene) -> bool:
    """Each takes a name from all other organizations, and every player lists the active ones."""
    settings = scene.app.extensions[EXTENSION].model_copy(update={"max_quests_per_organization": LIMIT})
    quests = [{"name": f"zoo-{number}", "streak": 1, "tags": ["zoo"]} for number in range(LIMIT + 1)]
    path = f"{scene.attacker.path}/quests"
    with patch.dict(scene.app.extensions, {EXTENSION: settings}):
        return all(scene.lets("POST", path, scene.attacker.owner, quest) for quest in quests)


def a_guest_with_an_organization(scene: Scene) -> bool:
    """Guests are free, so a quota per account would not limit them."""
    settings = scene.app.extensions[EXTENSION].model_copy(update={"organization_creation": "accounts"})
    with patch.dict(scene.app.extensions, {EXTENSION: settings}):
        return scene.lets("POST", "/api/organizations", scene.attacker.stranger, {"name": "Zoo"})


def files_beyond_the_quota(scene: Scene) -> bool:
    scene.own_code()
    settings = scene.app.extensions[EXTENSION].model_copy(update={"max_files_mb_per_organization": 0})
    with patch.dict(scene.app.extensions, {EXTENSION: settings}):
        return scene.lets("POST", f"{scene.attacker.path}/renders", scene.attacker.owner, {"all": True})


def staged_files(scene: Scene) -> bool:
    """Files of up to 64 MiB, faster than workers add their codes."""
    with patch.object(imports, "MAX_OPEN_IMPORTS", 1):
        files = [many(1_001, prefix) for prefix in ("a", "b")]
        return all(upload(scene.client, scene.attacker, each).status_code == 202 for each in files)


def open_renders(scene: Scene) -> bool:
    """Renders whose parts fill the disk before the first is assembled, and counted."""
    scene.own_code()
    path, owner = f"{scene.attacker.path}/renders", scene.attacker.owner
    with patch.object(renders, "MAX_OPEN_RENDERS", LIMIT):
        return all(scene.lets("POST", path, owner, {"all": True}) for _ in range(LIMIT + 1))


def organizations_of_an_accomplice(scene: Scene) -> bool:
    """The accomplice creates organizations, and gives them to the attacker, who owns one already."""
    body = {"role": "owner"}
    url = scene.ask("POST", f"{scene.victim.path}/invitations", scene.victim.owner, body).json["url"]
    settings = scene.app.extensions[EXTENSION].model_copy(update={"max_organizations_per_account": 1})
    with patch.dict(scene.app.extensions, {EXTENSION: settings}):
        return scene.lets("POST", f"{url}/accept", scene.attacker.owner)


def every_text(scene: Scene) -> bool:
    """Each code takes its text from all other organizations, forever, also once it is deleted."""
    settings = scene.app.extensions[EXTENSION].model_copy(update={"max_codes_per_organization": 1})
    owner = scene.attacker.owner
    with patch.dict(scene.app.extensions, {EXTENSION: settings}), patch.object(usage, "TEXTS_PER_CODE", LIMIT):
        for n in range(LIMIT + 1):
            created = scene.ask("POST", codes(scene), owner, DROP | {"code": f"zoo{n}"})
            if created.status_code != 201:
                return False
            scene.ask("DELETE", f"{codes(scene)}/{created.json['id']}", owner)
    return True


def every_slug(scene: Scene) -> bool:
    """Each change takes a slug from all other organizations, forever."""
    owner = scene.attacker.owner
    with patch.object(store, "MAX_SLUGS", LIMIT):
        return all(scene.lets("PATCH", scene.attacker.path, owner, {"slug": f"zoo{n}"}) for n in range(LIMIT))


def endless_aliases(scene: Scene) -> bool:
    """Each makes the judging of a scan slower."""
    code = f"{scene.attacker.codes}/{scene.own_code()}"
    with patch.object(code_store, "MAX_ALIASES", LIMIT):
        return all(scene.lets("PATCH", code, scene.attacker.owner, {"code": f"zoo{n}"}) for n in range(LIMIT + 1))


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
        "quests without end",
        endless_quests,
        replaced(organization_quests, "check_quota", lambda *_, **__: None),
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
        "blank codes without end",
        endless(lambda scene: f"{codes(scene)}/blank", {"count": 1}, "max_codes_per_organization"),
        replaced(usage, "check_codes", lambda *_, **__: None),
    ),
    Attack(
        "generated codes without end",
        endless(lambda _: "/generate", {"data": "x"}, "max_generated_codes_per_player"),
        replaced(generated_codes, "check_quota", lambda *_, **__: None),
    ),
    Attack("files without end", files_beyond_the_quota, replaced(usage, "check_files", lambda *_, **__: None)),
    Attack(
        "organizations of an accomplice",
        organizations_of_an_accomplice,
        replaced(store, "check_quota", lambda *_: None),
    ),
    Attack("open renders without end", open_renders, replaced(renders, "check_open", lambda *_: None)),
    Attack("staged files without end", staged_files, replaced(imports, "check_open", lambda *_, **__: None)),
    Attack("code texts without end", every_text, replaced(usage, "check_texts", lambda *_, **__: None)),
    Attack("slugs without end", every_slug, replaced(store, "check_slugs", lambda *_: None)),
    Attack("aliases without end", endless_aliases, replaced(code_store, "check_aliases", lambda *_: None)),
]
