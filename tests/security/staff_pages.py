"""Attacks on the pages of an organization."""

from shared.organizations import store
from tests.pages.test_access import BROWSER, browser_of
from tests.security.attack import Attack, Scene, replaced, without_condition
from tests.support.callers import SignedInPlayer
from web.http import auth


def opens(scene: Scene, player: SignedInPlayer, path: str) -> bool:
    """Return whether a browser with the session of this player shows a page of the first organization."""
    slug = store.get_slug(scene.conn, scene.victim.org_id)
    response = browser_of(scene.app, player).get(f"/o/{slug}{path}", headers=BROWSER)
    return bool(response.status_code == 200)


ATTACKS = [
    Attack(
        "pages of another organization",
        lambda scene: opens(scene, scene.attacker.owner, "/members"),
        without_condition(store.find_by_slug, "m.player_id = %(player_id)s"),
    ),
    Attack(
        "a page for admins, opened by a member",
        lambda scene: opens(scene, scene.victim.member, "/audit-log"),
        replaced(auth, "includes_role", lambda *_: True),
    ),
]
