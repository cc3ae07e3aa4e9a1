"""Attacks on players through what staff can read, and on a player's sessions."""

from shared.accounts import sessions
from shared.imports import csv_cells
from shared.reviews import known_players, progress
from tests.quests.scan_quests import make_quest
from tests.security.attack import Attack, Scene, replaced, without_condition
from tests.security.content import begins_like_a_formula
from tests.support.factories import AMSTERDAM, make_held_scan, make_player
from web.api import scan_list


def naming_a_stranger(scene: Scene) -> bool:
    """The owner of any organization, who has seen the id of a player, asks for the player's name."""
    body = {"ids": [str(scene.victim.member.id)]}
    response = scene.ask("POST", f"{scene.attacker.path}/players/names", scene.attacker.owner, body)
    return bool(response.json["items"])


def following_a_player(scene: Scene) -> bool:
    """An analyst downloads the scans of a player, to learn who and where the player is."""
    player = make_player(scene.conn, "mata_hari")
    scan = make_held_scan(scene.conn, player, scene.their_code())
    scene.conn.execute(
        "UPDATE player_scans SET latitude = %s, longitude = %s WHERE id = %s",
        (AMSTERDAM.latitude, AMSTERDAM.longitude, scan),
    )
    text = scene.ask("GET", f"{scene.victim.path}/scans.csv", scene.victim.analyst).text
    return "mata_hari" in text or str(AMSTERDAM.latitude) in text


def formula_in_scans(scene: Scene) -> bool:
    code = scene.own_code(description="=1+1")
    make_held_scan(scene.conn, scene.victim.member.id, code)
    return begins_like_a_formula(scene.ask("GET", f"{scene.attacker.path}/scans.csv", scene.attacker.owner).text)


def their_quest(scene: Scene) -> bool:
    make_quest(scene.conn, scene.victim.org_id, "secret")
    return scene.lets("GET", f"{scene.attacker.path}/progress?quest=secret", scene.attacker.owner)


def ending_their_session(scene: Scene) -> bool:
    return scene.lets("DELETE", f"/users/me/sessions/{scene.victim.owner.session_id}", scene.attacker.owner)


ATTACKS = [
    Attack(
        "the name of a player whom an organization does not know",
        naming_a_stranger,
        replaced(known_players, "SELECT_BY_IDS", known_players.SELECT_BY_IDS.replace("m.org_id = %(org_id)s", "true")),
    ),
    Attack(
        "names and positions of players, as an analyst",
        following_a_player,
        replaced(scan_list, "includes_role", lambda *_: True),
    ),
    Attack(
        "formulas in a file of scans",
        formula_in_scans,
        replaced(csv_cells, "escape_formula", lambda text: text),
    ),
    Attack(
        "another organization's quest in a table of progress",
        their_quest,
        without_condition(progress.has_quest, "org_id = %(org_id)s"),
    ),
    Attack(
        "another player's session, revoked",
        ending_their_session,
        without_condition(sessions.revoke_own_session, "player_id = %(player_id)s"),
    ),
]
