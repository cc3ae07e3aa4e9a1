"""Attacks on quests: pay those of sign-ins without coming back, take over those of other organizations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest

from shared.infra import db
from shared.quests import catalog_client, commands, definitions, organization_quests, rules, yaml_loader
from shared.quests.definitions import QuestDefinition
from shared.quests.rules import Quest, QuestReward
from shared.settings import settings
from tests.security.attack import Attack, Scene, all_of, replaced, without_condition
from tests.support.callers import SignedInPlayer, make_key
from web.api import organization_quests as quests_over_http
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
        definitions.save(conn, QuestDefinition(THREE.name, 3, 1, min_interval_seconds=3600))
    statuses = [track(scene, scene.attacker.owner).json["status"] for _ in range(3)]
    return bool(statuses[-1] == "completed")


def three_zones_in_a_second(scene: Scene) -> bool:
    """Three sign-ins complete a quest of three days. Each is on another date of the player's time zone."""
    player = scene.attacker.owner
    with db.connection() as conn:
        definitions.save(conn, QuestDefinition(THREE.name, 3, 1, daily=True))
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
        definitions.save(conn, QuestDefinition(THREE.name, 3, 1, min_interval_seconds=3600))
    victim, key = scene.victim.owner, make_key(scene.conn, scene.attacker.org_id, "track")
    for _ in range(3):
        assert track(scene, key, {"player_id": str(victim.id)}).json["status"] == "in_progress"
    return len(scene.ask("GET", "/api/v1/quests/events", victim).json["items"]) > 1


def their_quest(scene: Scene) -> str:
    """A quest of the first organization."""
    body: dict[str, Any] = {"name": "harbor-trail", "streak": 1, "tags": ["landmark"]}
    body |= {"reward": {"item": "badge", "quantity": 1}}
    assert scene.lets("POST", f"{scene.victim.path}/quests", scene.victim.owner, body)
    return "harbor-trail"


def reading_their_quest(scene: Scene) -> bool:
    return scene.lets("GET", f"{scene.attacker.path}/quests/{their_quest(scene)}", scene.attacker.owner)


def changing_their_quest(scene: Scene) -> bool:
    """Under the attacker's own path: a quest that pays a fortune."""
    path = f"{scene.attacker.path}/quests/{their_quest(scene)}"
    scene.ask("PATCH", path, scene.attacker.owner, {"reward": {"item": "gold", "quantity": 1_000_000}})
    with db.connection() as conn:
        quest = definitions.find(conn, "harbor-trail")
    return bool(quest and quest.item == "gold")


def deleting_their_quest(scene: Scene) -> bool:
    scene.ask("DELETE", f"{scene.attacker.path}/quests/{their_quest(scene)}", scene.attacker.owner)
    with db.connection() as conn:
        return definitions.find(conn, "harbor-trail") is None


def replacing_their_quest(scene: Scene) -> bool:
    """Create a quest of the same name, so that players of the other organization claim another reward."""
    body = {"name": their_quest(scene), "streak": 1, "tags": ["zoo"], "reward": {"item": "gold", "quantity": 9}}
    scene.ask("POST", f"{scene.attacker.path}/quests", scene.attacker.owner, body)
    with db.connection() as conn:
        quest = definitions.find(conn, "harbor-trail")
    return bool(quest and quest.item == "gold")


def sign_ins_of_all(scene: Scene) -> bool:
    """Take the name of the quest of sign-ins, so that no player's sign-in counts."""
    body = {"name": THREE.name, "streak": 1, "tags": ["zoo"]}
    scene.ask("POST", f"{scene.attacker.path}/quests", scene.attacker.owner, body)
    return bool(track(scene, scene.victim.owner).status_code == 409)


def completions_of_an_erased_quest(scene: Scene) -> bool:
    """Players of an erased organization's quest claim the reward of a quest with its name."""
    player = scene.victim.owner
    scene.conn.execute(
        """
        INSERT INTO quest_states (player_id, quest, version, progress, completions, claims, steps)
        VALUES (%s, 'erased', 1, 0, 1, 0, '[]')
        """,
        (player.id,),
    )
    body = {"name": "erased", "streak": 1, "tags": ["zoo"], "reward": {"item": "gold", "quantity": 9}}
    scene.ask("POST", f"{scene.attacker.path}/quests", scene.attacker.owner, body)
    return scene.lets("POST", "/api/v1/track/claim_reward", player, {"quest_name": "erased"})


def their_code_in_a_quest(scene: Scene) -> bool:
    """Find out the texts of another organization's codes."""
    text = scene.text_of(scene.their_code())
    body = {"name": "zoo", "streak": 1, "codes": [text]}
    return scene.lets("POST", f"{scene.attacker.path}/quests", scene.attacker.owner, body)


def players_of_their_quest(scene: Scene) -> bool:
    """Count the players of another organization's quest by a simulation of its name."""
    name = their_quest(scene)
    scene.conn.execute(
        """
        INSERT INTO quest_states (player_id, quest, version, progress, completions, claims, steps)
        VALUES (%s, %s, 1, 1, 0, 0, '[]')
        """,
        (scene.victim.owner.id, name),
    )
    body = {"quest": {"name": name, "streak": 1, "tags": ["zoo"]}, "events": []}
    response = scene.ask("POST", f"{scene.attacker.path}/quests/simulate", scene.attacker.owner, body)
    return bool(response.json["effect"]["players_in_progress"])


def billion_laughs(scene: Scene) -> bool:
    """A document of a kilobyte that expands to a million entries."""
    lines = ["a0: &a0 [zoo, zoo]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 5))]
    document = "\n".join([*lines, "quests: [{name: zoo, streak: 1, tags: *a0}]"])
    with pytest.raises(yaml_loader.QuestFileError) as refused:
        yaml_loader.parse(document)
    return "anchors and aliases" not in str(refused.value)


ATTACKS = [
    Attack(
        "another organization's quest, read",
        reading_their_quest,
        without_condition(organization_quests.find, "org_id = %(org_id)s"),
    ),
    Attack(
        "another organization's quest, changed",
        changing_their_quest,
        without_condition(organization_quests.find, "org_id = %(org_id)s"),
    ),
    Attack(
        "another organization's quest, deleted",
        deleting_their_quest,
        all_of(
            without_condition(organization_quests.find, "org_id = %(org_id)s"),
            without_condition(organization_quests.delete, "org_id = %(org_id)s"),
        ),
    ),
    Attack(
        "players of another organization's quest, counted",
        players_of_their_quest,
        without_condition(organization_quests.find, "org_id = %(org_id)s"),
    ),
    Attack(
        "another organization's quest, replaced",
        replacing_their_quest,
        all_of(
            replaced(organization_quests, "_is_taken", lambda *_: False),
            without_condition(definitions.save, "q.org_id = EXCLUDED.org_id"),
            without_condition(organization_quests.find, "org_id = %(org_id)s"),
        ),
    ),
    Attack(
        "sign-ins of all players, taken over",
        sign_ins_of_all,
        replaced(quests_over_http, "_reserved_names", set),
    ),
    Attack(
        "completions of an erased quest, claimed again",
        completions_of_an_erased_quest,
        replaced(organization_quests, "_is_taken", lambda *_: False),
    ),
    Attack(
        "another organization's code in a quest",
        their_code_in_a_quest,
        without_condition(organization_quests.find_unknown_codes, "org_id = %(org_id)s"),
    ),
    Attack("a billion laughs in YAML", billion_laughs, replaced(yaml_loader, "_check_events", lambda _text: None)),
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
