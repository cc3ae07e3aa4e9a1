"""Attacks on the pages of an organization."""

from shared.codes import store as codes
from shared.codes.store import StoredCode
from shared.infra import db
from shared.organizations import store
from shared.reviews import store as reviews
from tests.security.attack import Attack, Scene, replaced, without_condition
from tests.support.browser_sessions import BROWSER, browser_of
from tests.support.callers import SignedInPlayer
from tests.support.factories import make_held_scan, make_player
from web.http import auth
from web.pages import placement, staff


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


def shows_their_scan(scene: Scene) -> bool:
    """Return whether a page of the attacker's organization shows a scan of the first one."""
    scan = make_held_scan(scene.conn, make_player(scene.conn, "mata_hari"), scene.their_code())
    slug = store.get_slug(scene.conn, scene.attacker.org_id)
    page = browser_of(scene.app, scene.attacker.owner).get(f"/o/{slug}/reviews/{scan}", headers=BROWSER)
    return "mata_hari" in page.text


def names_a_player(scene: Scene) -> bool:
    """An analyst opens the page of a scan, and tries names in the list, to learn who scanned."""
    scan = make_held_scan(scene.conn, make_player(scene.conn, "mata_hari"), scene.their_code(code="their-code"))
    base = f"/o/{store.get_slug(scene.conn, scene.victim.org_id)}"
    browser = browser_of(scene.app, scene.victim.analyst)
    pages = [browser.get(base + path, headers=BROWSER).text for path in (f"/scans/{scan}", "/scans?player=mata_hari")]
    return "mata_hari</" in pages[0] or "their-code" in pages[1]


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
        "a scan of another organization, on its page",
        shows_their_scan,
        without_condition(reviews.find, "q.org_id = %(org_id)s"),
    ),
    Attack(
        "the name of a player on a page, as an analyst",
        names_a_player,
        replaced(staff, "includes_role", lambda *_: True),
    ),
    Attack(
        "a page for admins, opened by a member",
        lambda scene: opens(scene, scene.victim.member, "/audit-log"),
        replaced(auth, "includes_role", lambda *_: True),
    ),
]
