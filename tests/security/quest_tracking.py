"""Attacks on quests that sign-ins advance: pay them without coming back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from shared.infra import db
from shared.quests import catalog_client, commands, definitions, rules
from shared.quests.definitions import QuestDefinition
from shared.quests.rules import Quest, QuestReward
from shared.settings import settings
from tests.security.attack import Attack, Scene, replaced
from tests.support.callers import SignedInPlayer, make_key
from web.api import quests
from web.http import auth
from web.http.settings import EXTENSION

SIGNIN = "/api/v1/track/signin"
THREE = Quest("sign-in-three-times", streak=3, duplication=1, reward=QuestReward("coin", 10))


def track(scene: Scene, who: Any, body: dict[str, str] | None = None, **changes: Any) -> Any:
    """Submit a sign-in under these settings. The catalog has the quest."""
    values = settings().model_copy(update=changes)
    with (
        patch.object(catalog_client, "get_quest", lambda _name: THREE),
        patch.dict(scene.app.extensions, {EXTENSION: values}),
    ):
        return scene.client.post(SIGNIN, json=body or {}, headers=who.headers)


def thrice_at_once(scene: Scene) -> bool:
    """Three sign-ins in a second complete a quest of three visits."""
    with db.connection() as conn:
        definitions.upsert(conn, QuestDefinition(THREE.name, 3, 1, min_interval_seconds=3600))
    statuses = [track(scene, scene.attacker.owner).json["status"] for _ in range(3)]
    return bool(statuses[-1] == "completed")


def three_zones_in_a_second(scene: Scene) -> bool:
    """Three sign-ins complete a quest of three days. Each is on another date of the player's time zone."""
    player = scene.attacker.owner
    with db.connection() as conn:
        definitions.upsert(conn, QuestDefinition(THREE.name, 3, 1, daily=True))
    for zone in ("Pacific/Honolulu", "UTC", "Pacific/Kiritimati"):
        scene.ask("PATCH", "/users/me", player, {"timezone": zone})
        status = track(scene, player).json["status"]
    return bool(status == "completed")


@contextmanager
def with_recorded_days(_scene: Scene) -> Iterator[None]:
    """Each change of the zone begins another day."""
    with (
        patch.object(rules, "_is_day_counted", lambda state, action: state.last_zone == action.zone.key),
        patch.object(rules, "_is_too_soon", lambda *_: False),
    ):
        yield


def by_the_player(scene: Scene) -> bool:
    """A player submits a sign-in that only the log-in service may submit."""
    player: SignedInPlayer = scene.attacker.owner
    return bool(track(scene, player, track_requires_key=True).status_code == 200)


def by_own_organization(scene: Scene) -> bool:
    """A player creates an organization and a key that submits the sign-ins."""
    key = make_key(scene.conn, scene.attacker.org_id, "track")
    body = {"player_id": str(scene.attacker.owner.id)}
    allowed = (scene.victim.org_id, uuid4())
    return bool(track(scene, key, body, track_requires_key=True, track_organizations=allowed).status_code == 200)


def events_filled(scene: Scene) -> bool:
    """A key of any organization submits sign-ins for a player, again and again."""
    with db.connection() as conn:
        definitions.upsert(conn, QuestDefinition(THREE.name, 3, 1, min_interval_seconds=3600))
    victim, key = scene.victim.owner, make_key(scene.conn, scene.attacker.org_id, "track")
    for _ in range(3):
        assert track(scene, key, {"player_id": str(victim.id)}).json["status"] == "in_progress"
    return len(scene.ask("GET", "/api/v1/quests/events", victim).json["items"]) > 1


ATTACKS = [
    Attack("three visits in a second", thrice_at_once, replaced(rules, "_is_too_soon", lambda *_: False)),
    Attack("three days in a second, by the time zone", three_zones_in_a_second, with_recorded_days),
    Attack(
        "a sign-in that only a service may submit",
        by_the_player,
        replaced(quests, "_tracked_player", lambda _player_id: auth.current_player_id()),
    ),
    Attack(
        "sign-ins with a key of the player's organization",
        by_own_organization,
        replaced(quests, "_tracked_player", lambda player_id: player_id),
    ),
    Attack(
        "a player's quest events filled by a stranger's API key",
        events_filled,
        replaced(commands, "_is_recorded", lambda *_: True),
    ),
]
