"""Attacks on the pages of an organization."""

from shared.codes import store as codes
from shared.codes.store import StoredCode
from shared.infra import db
from shared.organizations import store
from tests.pages.test_access import BROWSER, browser_of
from tests.security.attack import Attack, Scene, replaced, without_condition
from tests.support.callers import SignedInPlayer
from web.http import auth
from web.pages import placement


def opens(scene: Scene, player: SignedInPlayer, path: str) -> bool:
    """Return whether a browser with the session of this player shows a page of the first organization."""
    slug = store.get_slug(scene.conn, scene.victim.org_id)
    response = browser_of(scene.app, player).get(f"/o/{slug}{path}", headers=BROWSER)
    return bool(response.status_code == 200)


def shows_their_code(scene: Scene) -> bool:
    """Return whether the page of the attacker's organization shows a description of the first one."""
    code = scene.text_of(scene.their_code(description="Behind the statue"))
    slug = store.get_slug(scene.conn, scene.attacker.org_id)
    page = browser_of(scene.app, scene.attacker.owner).get(f"/o/{slug}/place?code={code}", headers=BROWSER)
    return "Behind the statue" in page.text


def find_any(text: str) -> StoredCode | None:
    with db.connection() as conn:
        return codes.find_by_code(conn, text)


ATTACKS = [
    Attack(
        "pages of another organization",
        lambda scene: opens(scene, scene.attacker.owner, "/members"),
        without_condition(store.find_by_slug, "m.player_id = %(player_id)s"),
    ),
    Attack(
        "a code of another organization, on the page that places codes",
        shows_their_code,
        replaced(placement, "find_code", lambda _org_id, text: find_any(text)),
    ),
    Attack(
        "a page for admins, opened by a member",
        lambda scene: opens(scene, scene.victim.member, "/audit-log"),
        replaced(auth, "includes_role", lambda *_: True),
    ),
]
