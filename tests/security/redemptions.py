"""Attacks on redemptions: an item handed out twice, too late, or at another organization's counter."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from shared.redemptions import rules, store
from tests.redemptions.factories import add_token, ask, confirm, grant, redeem, token_of, undo
from tests.security.attack import Attack, Scene, all_of, replaced, without_check, without_condition
from web.api import items, redemptions


def one_token_twice(scene: Scene) -> bool:
    """A screenshot of the token is shown at a second counter."""
    player, staff = scene.victim.member, scene.victim
    grant(scene.conn, player.id, staff.org_id, 2)
    token = token_of(scene.client, player)
    assert confirm(scene.client, staff, token).status_code == 201
    return bool(confirm(scene.client, staff, token, staff.owner).status_code == 201)


def two_tokens_for_one_item(scene: Scene) -> bool:
    player, staff = scene.victim.member, scene.victim
    grant(scene.conn, player.id, staff.org_id)
    tokens = [token_of(scene.client, player) for _ in range(2)]
    return all(confirm(scene.client, staff, token).status_code == 201 for token in tokens)


@contextmanager
def without_trigger(scene: Scene) -> Iterator[None]:
    scene.conn.execute("ALTER TABLE inventory_ledger DISABLE TRIGGER inventory_ledger_guard_balance")
    try:
        yield
    finally:
        scene.conn.execute("ALTER TABLE inventory_ledger ENABLE TRIGGER inventory_ledger_guard_balance")


def expired_token(scene: Scene) -> bool:
    player, staff = scene.victim.member, scene.victim
    grant(scene.conn, player.id, staff.org_id)
    token = token_of(scene.client, player)
    scene.conn.execute("UPDATE redemption_tokens SET expires_at = now()")
    return bool(confirm(scene.client, staff, token).status_code == 201)


def find_unexpired(*args: Any) -> store.Token | None:
    token = FIND_TOKEN(*args)
    return token and replace(token, is_expired=False)


FIND_TOKEN = store.find_token


def token_at_another_counter(scene: Scene) -> bool:
    """The player shows a token for one organization's coffee. Another one takes a coffee of its own for it."""
    player = scene.victim.stranger
    for staff in (scene.victim, scene.attacker):
        grant(scene.conn, player.id, staff.org_id)
    token = add_token(scene.conn, player.id, scene.victim.org_id)
    return bool(confirm(scene.client, scene.attacker, token).status_code == 201)


def preview_of_another_counters_token(scene: Scene) -> bool:
    """A counter checks a token for another organization's coffee, to learn who the player is."""
    player = scene.victim.stranger
    for staff in (scene.victim, scene.attacker):
        grant(scene.conn, player.id, staff.org_id)
    token = add_token(scene.conn, player.id, scene.victim.org_id)
    return scene.lets("POST", f"{scene.attacker.path}/redemptions/preview", scene.attacker.owner, {"token": token})


def state_of_another_players_token(scene: Scene) -> bool:
    """A token was photographed: whose it is and what they have left is for its player only."""
    player = scene.victim.member
    grant(scene.conn, player.id, scene.victim.org_id)
    return scene.lets(
        "POST", "/redemptions/token/status", scene.attacker.member, {"token": token_of(scene.client, player)}
    )


def item_of_the_installation(scene: Scene) -> bool:
    """The player has the coffee of a quest of the installation, and names an organization that gave none."""
    player = scene.attacker.member
    grant(scene.conn, player.id, None)
    return bool(ask(scene.client, player, org_id=str(scene.victim.org_id)).status_code == 201)


def any_issuer(conn: Any, player_id: Any, item: str) -> list[rules.Holding]:
    return [replace(held, org_id=held.org_id or ORG_OF[0]) for held in LIST_HOLDINGS(conn, player_id, item)]


LIST_HOLDINGS = store.list_holdings
ORG_OF: list[Any] = []


@contextmanager
def with_items_of_any_issuer(scene: Scene) -> Iterator[None]:
    ORG_OF[:] = [scene.victim.org_id]
    with replaced(store, "list_holdings", any_issuer)(scene):
        yield


def tokens_without_end(scene: Scene) -> bool:
    player = scene.attacker.member
    grant(scene.conn, player.id, scene.victim.org_id)
    for _ in range(3):
        scene.conn.execute("UPDATE redemption_tokens SET expires_at = now() - interval '11 minutes'")
        token_of(scene.client, player)
    return scene.conn.execute("SELECT FROM redemption_tokens").rowcount == 3


def limits_without_end(scene: Scene) -> bool:
    scene.conn.execute(
        "INSERT INTO items (org_id, item, stock) SELECT %s, n::text, 1 FROM generate_series(1, 1000) n",
        (scene.attacker.org_id,),
    )
    return scene.lets("PUT", f"{scene.attacker.path}/items/coffee", scene.attacker.admin, {"stock": 1})


def another_members_redemption(scene: Scene) -> bool:
    """An admin undoes what another counter has handed out, for a friend who has it already."""
    staff = scene.victim
    redemption_id = redeem(scene.conn, staff.member.id, staff.org_id, staff.admin)
    scene.conn.execute("INSERT INTO items (org_id, item, redeemed) VALUES (%s, 'coffee', 1)", (staff.org_id,))
    return bool(undo(scene.client, staff, redemption_id, staff.owner).status_code == 200)


def another_organizations_redemption(scene: Scene) -> bool:
    redemption_id = redeem(scene.conn, scene.victim.member.id, scene.victim.org_id, scene.victim.admin)
    return bool(undo(scene.client, scene.attacker, redemption_id).status_code == 200)


ATTACKS = [
    Attack(
        "an item redeemed twice with one token",
        one_token_twice,
        all_of(
            replaced(redemptions, "_raise_if_redeemed", lambda *_: None),
            without_check("redemptions", "redemptions_token_key"),
        ),
    ),
    Attack("one item redeemed with two tokens", two_tokens_for_one_item, without_trigger),
    Attack("an expired redemption token", expired_token, replaced(store, "find_token", find_unexpired)),
    Attack(
        "another organization's redemption token",
        token_at_another_counter,
        without_condition(store.find_token, "org_id = %(org_id)s"),
    ),
    Attack(
        "the player of another organization's redemption token",
        preview_of_another_counters_token,
        without_condition(store.find_token, "org_id = %(org_id)s"),
    ),
    Attack(
        "the state of another player's token",
        state_of_another_players_token,
        without_condition(store.find_token_state, "t.player_id = %(player_id)s"),
    ),
    Attack(
        "redemption tokens without end", tokens_without_end, replaced(store, "purge_player_tokens", lambda *_: None)
    ),
    Attack("limited items without end", limits_without_end, replaced(items, "MAX_LIMITED_ITEMS", 10_000)),
    Attack("an item of the installation, redeemed", item_of_the_installation, with_items_of_any_issuer),
    Attack(
        "another counter's redemption, undone",
        another_members_redemption,
        replaced(rules, "check_undo", lambda *_: None),
    ),
    Attack(
        "another organization's redemption, undone",
        another_organizations_redemption,
        all_of(without_condition(store.find, "org_id = %(org_id)s"), replaced(rules, "check_undo", lambda *_: None)),
    ),
]
