"""Attacks on scans: dated back, held to use up the stock, or submitted in the name of a player."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shared.encounters import store as puzzles
from shared.encounters.rules import OpenedPuzzle
from shared.infra.db import Conn
from shared.organizations import closing
from shared.scans import batches, checks, store
from shared.scans.checks import JudgingInput
from shared.scans.model import Verdict
from tests.security.attack import Attack, Scene, Without, replaced
from tests.support.callers import SignedInPlayer, make_key
from tests.support.factories import AMSTERDAM, LISBON, make_encounter
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


def scanned_before_it_opened(scene: Scene) -> bool:
    """In a batch, dated after it was sent: a scan of the future."""
    player, now = scene.attacker.member, datetime.now(UTC)
    code = scene.text_of(scene.their_code(starts_at=now + timedelta(hours=1)))
    scanned_at = (now + timedelta(hours=2)).isoformat()
    scan = {"player_id": str(player.id), "qr_code": code, "nonce": "1", "scanned_at": scanned_at}
    scene.ask("POST", "/scans/batch", player, {"sent_at": now.isoformat(), "scans": [scan]})
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


def close(scene: Scene) -> None:
    closing.close(scene.conn, scene.victim.org_id)


def scanned_while_closed(scene: Scene) -> bool:
    """The scan waits offline until the organization is restored."""
    player, code = scene.attacker.member, scene.text_of(scene.their_code())
    close(scene)
    closing.restore(scene.conn, scene.victim.org_id)
    submit(scene, player, player, qr_code=code, scanned_at=(datetime.now(UTC) - timedelta(hours=2)).isoformat())
    return pays(scene, player)


def scanned_in_closed(scene: Scene) -> bool:
    player, code = scene.attacker.member, scene.text_of(scene.their_code())
    close(scene)
    submit(scene, player, player, qr_code=code)
    return pays(scene, player)


@contextmanager
def with_codes_of_closed_organizations(scene: Scene) -> Iterator[None]:
    ((view,),) = scene.conn.execute("SELECT pg_get_viewdef('judged_codes')").fetchall()
    mutant = view.replace("COALESCE((o.closed_at > now()), true)", "true")
    assert mutant != view
    scene.conn.execute("CREATE OR REPLACE VIEW judged_codes AS " + mutant)
    try:
        yield
    finally:
        scene.conn.execute("CREATE OR REPLACE VIEW judged_codes AS " + view)


def scanned_late_at_a_live_code(scene: Scene) -> bool:
    """A photo of the code, sent to a player who dates the scan back to their visit."""
    player, code = scene.attacker.member, scene.text_of(scene.their_code(offline_hours=0))
    submit(scene, player, player, qr_code=code, scanned_at=(datetime.now(UTC) - timedelta(hours=2)).isoformat())
    return pays(scene, player)


def kiosk_players_held(scene: Scene) -> bool:
    """An honest player scans at a kiosk, whose position is that of all its players."""
    rules = '{"identical_coordinates": {"players": 2, "window_seconds": 600}}'
    scene.conn.execute("UPDATE organizations SET fair_play = %s WHERE id = %s", (rules, scene.victim.org_id))
    kiosk, code = make_key(scene.conn, scene.victim.org_id), scene.text_of(scene.their_code())
    place = {"latitude": AMSTERDAM.latitude, "longitude": AMSTERDAM.longitude}
    for player in (scene.attacker.member, scene.victim.stranger):
        submit(scene, kiosk, player, qr_code=code, **place)
        judge_pending()
    return not pays(scene, scene.victim.stranger)


def answered(scene: Scene, changes: str) -> bool:
    """A puzzle that the player opened, then changed by this SQL. Return whether the answer gives ten crowns."""
    player, code = scene.attacker.member, scene.their_code(scan_type="encounter", reward_item="crown")
    puzzle = make_encounter(scene.conn, code)
    submit(scene, player, player, qr_code=scene.text_of(code))
    judge_pending()
    scene.conn.execute(changes)
    solved = scene.ask("POST", f"/encounters/{puzzle}/solve", player, {"answer": "open sesame"}).json
    return bool(solved.get("quantity") == 10)


def raised_reward(scene: Scene) -> bool:
    """The solution waits until the organization raises the reward."""
    return answered(scene, "UPDATE qr_codes SET reward_quantity = 10")


def answered_late(scene: Scene) -> bool:
    """The solution arrives after it was published."""
    return answered(scene, "UPDATE encounter_attempts SET closes_at = now(), reward_quantity = 10")


def opened_with(**terms: Any) -> Without:
    """List opened puzzles with other terms than those of their scans."""

    def list_opened(conn: Conn, scan_ids: list[UUID]) -> list[OpenedPuzzle]:
        return [replace(puzzle, **terms) for puzzle in original(conn, scan_ids)]

    original = puzzles.list_opened
    return replaced(puzzles, "list_opened", list_opened)


ATTACKS = [
    Attack(
        "a reward for a time before the code existed",
        scanned_before_it_existed,
        replaced(checks, "_precedes_use", lambda _case: False),
    ),
    Attack(
        "a reward for a time before the code opens, in a batch",
        scanned_before_it_opened,
        replaced(batches, "age_of", lambda scanned_at, sent_at: sent_at - scanned_at),
    ),
    Attack(
        "a reward for a time when the organization was closed",
        scanned_while_closed,
        replaced(checks, "_precedes_use", lambda _case: False),
    ),
    Attack("a reward from a deleted organization", scanned_in_closed, with_codes_of_closed_organizations),
    Attack(
        "a late scan of a code that is live only",
        scanned_late_at_a_live_code,
        replaced(checks, "_max_delay", lambda case: case.limits.max_age),
    ),
    Attack(
        "players of a kiosk, held for its position",
        kiosk_players_held,
        replaced(JudgingInput, "compares_coordinates", property(lambda case: case.scan.coordinates is not None)),
    ),
    Attack("a raised reward for an old puzzle", raised_reward, opened_with(quantity=10)),
    Attack("a puzzle answered after its time", answered_late, opened_with(is_closed=False)),
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
