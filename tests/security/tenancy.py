"""Attacks with foreign ids: objects of another organization under the caller's own path, another organization, another
player."""

from collections.abc import Callable
from typing import Any
from unittest.mock import ANY
from uuid import UUID

from shared.analytics import cache_versions as analytics
from shared.codes import selection
from shared.codes import store as codes
from shared.encounters import store as encounters
from shared.images import store as images
from shared.imports import store as imports
from shared.infra import idempotency
from shared.infra.db import Conn
from shared.organizations import api_keys, members
from shared.renders import code_selection, label_template_store
from shared.renders import store as renders
from shared.renders.label_templates import TEMPLATES
from shared.reviews import store as reviews
from shared.scans import store as scan_store
from tests.renders import factories
from tests.renders.factories import make_codes
from tests.security.attack import (
    Attack,
    Attempt,
    Scene,
    Without,
    all_of,
    replaced,
    requiring,
    without_check,
    without_condition,
    without_condition_of,
)
from tests.support.callers import make_key
from tests.support.factories import make_code, make_encounter, make_held_scan, submit_scan
from web.api import generated_codes, scan_batches, scans
from web.http import auth
from web.http.auth import Requirement
from workers.scans import judge_pending


def under_own_path(method: str, path: str, their: Callable[[Scene], object], json: Any = None) -> Attempt:
    """The owner of one organization names an object of another under their own organization's path."""

    def attempt(scene: Scene) -> bool:
        own = scene.attacker
        return scene.lets(method, own.path + path.format(their(scene)), own.owner, json)

    return attempt


def their_render(scene: Scene) -> UUID:
    return factories.add_render(scene.conn, scene.victim.org_id, make_codes(scene.conn, scene.victim.org_id, 1))


def their_label_template(scene: Scene) -> UUID:
    return label_template_store.add(scene.conn, scene.victim.org_id, "Wine labels", TEMPLATES["a4-3x8"])


def their_held_scan(scene: Scene) -> UUID:
    return make_held_scan(scene.conn, scene.victim.member.id, scene.their_code())


def many_of_their_codes(method: str, **body: Any) -> Callable[[Scene], bool]:
    """Return an attempt to change or delete codes of both organizations in one request."""

    def attempt(scene: Scene) -> bool:
        ids = {"ids": [str(scene.own_code()), str(scene.their_code())]}
        return scene.lets(method, scene.attacker.codes, scene.attacker.owner, ids | body)

    return attempt


def their_code_on_a_map(scene: Scene) -> bool:
    scene.their_code(latitude=1, longitude=1)
    path = f"{scene.attacker.codes}/places?bbox=0,0,2,2&zoom=1"
    return bool(scene.ask("GET", path, scene.attacker.owner).json["rows"])


def their_key(scene: Scene) -> UUID:
    return make_key(scene.conn, scene.victim.org_id).id


def their_import(scene: Scene) -> UUID:
    return imports.create(scene.conn, scene.victim.org_id, partial=False).id


def rendering_their_code(scene: Scene) -> bool:
    body = {"qr_ids": [str(scene.their_code())]}
    return scene.lets("POST", f"{scene.attacker.path}/renders", scene.attacker.owner, body)


def sending_players_to_their_code(scene: Scene) -> bool:
    body = {"scan_type": "transportation", "destination_code": scene.text_of(scene.their_code())}
    return scene.lets("POST", scene.attacker.codes, scene.attacker.owner, body)


def taking_over_their_prints(scene: Scene) -> bool:
    """A code with the text of a deleted code of another organization: its posters would lead there."""
    code = scene.their_code()
    codes.delete(scene.conn, scene.victim.org_id, code)
    body = {"scan_type": "item_drop", "code": scene.text_of(code)}
    return scene.lets("POST", scene.attacker.codes, scene.attacker.owner, body)


def issuing_their_item(scene: Scene) -> bool:
    """A code that gives any number of the item that another organization redeems at its counter."""
    player = scene.victim.stranger
    for org_id, quantity in ((scene.victim.org_id, 1), (scene.attacker.org_id, 1_000)):
        submit_scan(
            scene.conn,
            player.id,
            make_code(scene.conn, org_id, reward_item="coffee", reward_quantity=quantity),
        )
    judge_pending()
    items = scene.ask("GET", f"/player/{player.id}/inventory", player).json["items"]
    return any(held["quantity"] > 1 for held in items if held["org_id"] == str(scene.victim.org_id))


def list_inventory_by_name(conn: Conn, player_id: UUID) -> list[scan_store.InventoryItem]:
    """One balance per name, as if the first organization that gave such an item had issued all of them."""
    rows = conn.execute(
        """
        SELECT item, sum(quantity), (array_agg(org_id ORDER BY quantity))[1], NULL, NULL, NULL, NULL, NULL
        FROM inventory_ledger WHERE player_id = %s GROUP BY item
        """,
        (player_id,),
    )
    return [scan_store.InventoryItem(*row) for row in rows]


def taking_over_their_business_code(scene: Scene) -> bool:
    """A slug that another organization has changed: its printed business code would lead there."""
    scene.conn.execute("UPDATE organizations SET slug = 'museum' WHERE id = %s", (scene.victim.org_id,))
    scene.conn.execute("UPDATE organizations SET slug = 'city' WHERE id = %s", (scene.victim.org_id,))
    return scene.lets("PATCH", scene.attacker.path, scene.attacker.owner, {"slug": "museum"})


def their_member_goes(scene: Scene) -> bool:
    """The owner of one organization removes a member of another."""
    member = scene.victim.member.id
    scene.ask("DELETE", f"{scene.attacker.path}/members/{member}", scene.attacker.owner)
    return members.get_role(scene.conn, scene.victim.org_id, member) is None


def a_stranger_reads(scene: Scene) -> bool:
    return scene.lets("GET", scene.victim.codes, scene.attacker.owner)


def a_member_makes_codes(scene: Scene) -> bool:
    return scene.lets("POST", scene.victim.codes, scene.victim.member, {"scan_type": "item_drop"})


def another_players_history(scene: Scene) -> bool:
    return scene.lets("GET", f"/player/{scene.victim.owner.id}/history", scene.attacker.owner)


def another_players_puzzles(scene: Scene) -> bool:
    return scene.lets("GET", f"/player/{scene.victim.owner.id}/puzzles", scene.attacker.owner)


def another_players_scan(scene: Scene) -> bool:
    scan = submit_scan(scene.conn, scene.victim.owner.id, scene.their_code())
    return scene.lets("GET", f"/scan/{scan}", scene.attacker.owner)


def a_scan_for_another_player(scene: Scene) -> bool:
    body = {"player_id": str(scene.victim.owner.id), "qr_code": "spy123"}
    return scene.lets("POST", "/scan", scene.attacker.owner, body)


def a_scan_in_a_batch_for_another_player(scene: Scene) -> bool:
    scanned_at = "2026-02-12T10:00:00Z"
    scan = {"player_id": str(scene.victim.owner.id), "qr_code": "spy123", "nonce": "n", "scanned_at": scanned_at}
    response = scene.ask("POST", "/scans/batch", scene.attacker.owner, {"sent_at": scanned_at, "scans": [scan]})
    return bool(response.json["scans"][0]["status"] == "pending")


def another_players_puzzle(scene: Scene) -> bool:
    """Solved by a player who never scanned its code."""
    code = scene.their_code(scan_type="encounter", reward_item="crown")
    puzzle = make_encounter(scene.conn, code)
    submit_scan(scene.conn, scene.victim.owner.id, code)
    judge_pending()
    return scene.lets("POST", f"/encounters/{puzzle}/solve", scene.attacker.owner, {"answer": "open sesame"})


def another_callers_answer(scene: Scene) -> bool:
    """The same Idempotency-Key and body as another caller's: the stored response would reveal what was created."""
    body = {"name": "Treasury"}
    first = scene.ask("POST", "/api/organizations", scene.victim.owner, body, Idempotency_Key="k").json
    return bool(scene.ask("POST", "/api/organizations", scene.attacker.owner, body, Idempotency_Key="k").json == first)


def another_makers_picture(scene: Scene) -> bool:
    made = scene.ask("POST", "/generate", scene.victim.owner, {"data": "https://example.com"}).json["qr_id"]
    return scene.lets("DELETE", f"/retrieve/{made}", scene.attacker.owner)


def without_org(function: Callable[..., object]) -> Without:
    return without_condition(function, "org_id = %(org_id)s")


ATTACKS = [
    Attack(
        "another organization's code",
        under_own_path("GET", "/qr-codes/{}", Scene.their_code),
        without_org(codes.find),
    ),
    Attack(
        "another organization's code, changed",
        under_own_path("PATCH", "/qr-codes/{}", Scene.their_code, {"active": False}),
        without_org(codes.find),
    ),
    Attack(
        "another organization's code, deleted",
        under_own_path("DELETE", "/qr-codes/{}", Scene.their_code),
        all_of(without_org(codes.find), without_org(codes.delete)),
    ),
    Attack(
        "another organization's codes, changed together",
        many_of_their_codes("PATCH", set={"active": False}),
        all_of(without_org(selection.lock_ids), without_org(codes.list_by_ids)),
    ),
    Attack(
        "another organization's codes, deleted together",
        many_of_their_codes("DELETE"),
        all_of(without_org(selection.lock_ids), without_org(codes.delete)),
    ),
    Attack(
        "another organization's codes on a map",
        their_code_on_a_map,
        without_condition_of("matching_codes", "q.org_id = ANY (ARRAY[$1])"),
    ),
    Attack(
        "another organization's image",
        under_own_path("GET", "/qr-codes/{}/image", Scene.their_code),
        without_org(images.find_appearance),
    ),
    Attack(
        "another organization's statistics",
        under_own_path("GET", "/qr-codes/{}/stats", Scene.their_code),
        without_org(analytics.code_cache_version),
    ),
    Attack(
        "another organization's render",
        under_own_path("GET", "/renders/{}", their_render),
        without_org(renders.find),
    ),
    Attack(
        "another organization's import",
        under_own_path("GET", "/imports/{}", their_import),
        without_org(imports.find),
    ),
    Attack(
        "another organization's held scan, released",
        under_own_path("POST", "/scans/{}/release", their_held_scan),
        all_of(without_org(reviews.lock), without_org(reviews.find)),
    ),
    Attack(
        "another organization's code in a render",
        rendering_their_code,
        without_org(code_selection.find_unknown_indexes),
    ),
    Attack(
        "another organization's label template",
        under_own_path("GET", "/label-templates/{}", their_label_template),
        without_org(label_template_store.find),
    ),
    Attack(
        "another organization's code as destination",
        sending_players_to_their_code,
        all_of(
            without_condition(codes._lock_destination, "q.org_id = %(org_id)s"),
            without_check("qr_codes", "qr_codes_destination_fkey"),
        ),
    ),
    Attack(
        "another organization's printed codes, taken over",
        taking_over_their_prints,
        without_condition_of("claim_code_text", "t.org_id = EXCLUDED.org_id"),
    ),
    Attack(
        "another organization's item, issued",
        issuing_their_item,
        replaced(scan_store, "list_inventory", list_inventory_by_name),
    ),
    Attack(
        "another organization's business code, taken over",
        taking_over_their_business_code,
        without_condition_of("claim_slug", "s.org_id = EXCLUDED.org_id"),
    ),
    Attack(
        "another organization's member removed",
        their_member_goes,
        all_of(without_org(members.find_member), without_org(members.remove_member)),
    ),
    Attack(
        "another organization's API key, revoked",
        under_own_path("DELETE", "/api-keys/{}", their_key),
        without_org(api_keys.revoke),
    ),
    Attack("a stranger in an organization", a_stranger_reads, replaced(auth, "_require_role", lambda *_: "owner")),
    Attack("a role too low", a_member_makes_codes, replaced(auth, "includes_role", lambda *_: True)),
    Attack(
        "another player's history",
        another_players_history,
        requiring("scans.list_history", Requirement("player")),
    ),
    Attack(
        "another player's puzzles",
        another_players_puzzles,
        requiring("encounters.list_puzzles", Requirement("player")),
    ),
    Attack(
        "another player's scan",
        another_players_scan,
        replaced(scans, "_may_read", lambda *_: True),
    ),
    Attack(
        "a scan for another player",
        a_scan_for_another_player,
        replaced(scans, "may_submit_for", lambda *_: True),
    ),
    Attack(
        "a scan for another player, in a batch",
        a_scan_in_a_batch_for_another_player,
        replaced(scan_batches, "may_submit_for", lambda *_: True),
    ),
    Attack(
        "another player's puzzle",
        another_players_puzzle,
        without_condition(encounters.lock_scans, "player_id = %(player_id)s"),
    ),
    Attack(
        "another caller's Idempotency-Key",
        another_callers_answer,
        without_condition(idempotency.find, "caller_id = %(caller_id)s"),
    ),
    Attack(
        "another creator's generated code, deleted",
        another_makers_picture,
        replaced(generated_codes, "current_player_id", lambda: ANY),
    ),
]
