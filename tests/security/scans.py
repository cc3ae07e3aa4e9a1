"""Attacks on scans: dated back, held to use up the stock, or submitted in the name of a player."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.scans import checks, store
from shared.scans.model import Verdict
from tests.security.attack import Attack, Scene, replaced
from tests.support.callers import SignedInPlayer, make_key
from tests.support.factories import AMSTERDAM, LISBON
from workers.scans import judge_pending


def submit(scene: Scene, by: Any, player: SignedInPlayer, **fields: Any) -> Any:
    return scene.ask("POST", "/scan", by, {"player_id": str(player.id), **fields})


def pays(scene: Scene, player: SignedInPlayer) -> bool:
    judge_pending()
    return bool(scene.ask("GET", f"/player/{player.id}/inventory", player).json["items"])


def scanned_before_it_existed(scene: Scene) -> bool:
    """The code was created a moment ago. The scan claims to be two hours old, and to have waited offline."""
    player = scene.attacker.member
    code = scene.text_of(scene.their_code(usable_since=datetime.now(UTC)))
    submit(scene, player, player, qr_code=code, scanned_at=(datetime.now(UTC) - timedelta(hours=2)).isoformat())
    return pays(scene, player)


def stock_used_up(scene: Scene) -> bool:
    """A scan that is held for its travel, so that the next honest player gets nothing."""
    cheat, honest = scene.attacker.member, scene.victim.member
    code = scene.text_of(scene.their_code(max_scans=1))
    elsewhere = scene.text_of(scene.own_code(reward_item=None, reward_quantity=None))
    for text, place in ((elsewhere, AMSTERDAM), (code, LISBON)):
        submit(scene, cheat, cheat, qr_code=text, latitude=place.latitude, longitude=place.longitude)
        judge_pending()
    submit(scene, honest, honest, qr_code=code)
    return not pays(scene, honest)


def nonce_used_up(scene: Scene) -> bool:
    """A key of any organization submits a scan for the player, with a nonce that the player's app will use."""
    victim, key = scene.victim.member, make_key(scene.conn, scene.attacker.org_id)
    code = scene.text_of(scene.their_code())
    submit(scene, key, victim, qr_code="nothing", nonce="1")
    return bool(submit(scene, victim, victim, qr_code=code, nonce="1").status_code != 202)


@contextmanager
def with_nonces_per_player(scene: Scene) -> Iterator[None]:
    scene.conn.execute("CREATE UNIQUE INDEX nonce_per_player ON player_scans (player_id, nonce)")
    scene.app.config["PROPAGATE_EXCEPTIONS"] = False
    try:
        yield
    finally:
        scene.conn.execute("DROP INDEX nonce_per_player")
        scene.app.config["PROPAGATE_EXCEPTIONS"] = None


def history_filled(scene: Scene) -> bool:
    """A key of any organization submits scans of codes that do not exist, for a player."""
    victim, key = scene.victim.member, make_key(scene.conn, scene.attacker.org_id)
    submit(scene, key, victim, qr_code="spam")
    judge_pending()
    return bool(scene.ask("GET", f"/player/{victim.id}/history", victim).json["scans"])


ATTACKS = [
    Attack(
        "a reward for a time before the code existed",
        scanned_before_it_existed,
        replaced(checks, "_precedes_use", lambda _case: False),
    ),
    Attack(
        "a stock used up by held scans",
        stock_used_up,
        replaced(Verdict, "uses_stock", property(lambda verdict: verdict.counts_as_use)),
    ),
    Attack("a player's nonces used up by a stranger's API key", nonce_used_up, with_nonces_per_player),
    Attack(
        "a player's history filled by a stranger's API key",
        history_filled,
        replaced(store, "SELECT_HISTORY", store.SELECT_HISTORY.replace("AND NOT s.outside_history", "")),
    ),
]
