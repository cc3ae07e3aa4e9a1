"""Attacks on rotating codes: photographs, guesses, MACs of another code, dates, and links of revoked screens."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hmac import digest
from typing import Any
from unittest.mock import MagicMock, patch
from uuid import UUID

from shared.codes import screens
from shared.codes import store as codes
from shared.codes.rotation import MAC_BYTES, Rotation
from shared.scans import checks
from tests.security.attack import Attack, Scene, all_of, replaced, without_condition
from tests.security.scans import pays, submit
from tests.support.factories import current_text
from web.http import request_context

HOURLY = 3600


def screen_code(scene: Scene, **fields: Any) -> UUID:
    return scene.their_code(rotating=True, rotation_seconds=HOURLY, **fields)


def scanned(scene: Scene, text: str, **fields: str) -> bool:
    player = scene.attacker.member
    submit(scene, player, player, qr_code=text, **fields)
    return pays(scene, player)


def guessed_mac(scene: Scene) -> bool:
    genuine = current_text(scene.conn, screen_code(scene))
    return scanned(scene, genuine[:-16] + "A" * 16)


def bare_text(scene: Scene) -> bool:
    return scanned(scene, scene.text_of(screen_code(scene)))


def mac_of_own_code(scene: Scene) -> bool:
    """The attacker's organization has rotating codes too."""
    theirs = scene.text_of(screen_code(scene))
    own = current_text(scene.conn, scene.own_code(rotating=True, rotation_seconds=HOURLY))
    return scanned(scene, f"https://any.example/s/{theirs}?{own.partition('?')[2]}")


@contextmanager
def with_one_secret_for_all(scene: Scene) -> Iterator[None]:
    found = scene.conn.execute("SELECT pg_get_functiondef('renew_rotation_secret'::regproc)").fetchone()
    assert found is not None
    random = "sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))"
    assert random in found[0]
    scene.conn.execute(found[0].replace(random, "sha256('one secret')"))
    try:
        yield
    finally:
        scene.conn.execute(found[0])


def photograph(scene: Scene) -> bool:
    """A photograph of the screen, three steps old."""
    return scanned(scene, current_text(scene.conn, screen_code(scene), steps_old=3))


def dated_back(scene: Scene) -> bool:
    """A photograph of a live code, sent with the time at which it was taken."""
    text = current_text(scene.conn, screen_code(scene, offline_hours=0), steps_old=3)
    return scanned(scene, text, scanned_at=(datetime.now(UTC) - timedelta(hours=3)).isoformat())


def of_an_older_length(scene: Scene) -> bool:
    """A photograph from before the steps became shorter. Its number is that of a current step."""
    code = screen_code(scene)
    ((secret, now),) = scene.conn.execute("SELECT rotation_secret, now() FROM qr_codes WHERE id = %s", (code,))
    current = Rotation(HOURLY - 1, secret).step_at(now)
    text = f"https://any.example/s/{scene.text_of(code)}?t={Rotation(HOURLY, secret).sign(current)}"
    scene.conn.execute("UPDATE qr_codes SET rotation_seconds = %s WHERE id = %s", (HOURLY - 1, code))
    return scanned(scene, text)


def sign_the_number_only(self: Rotation, step: int) -> str:
    mac = digest(self.secret, f"{step}".encode(), "sha256")[:MAC_BYTES]
    return f"{step}.{urlsafe_b64encode(mac).decode()}"


def photograph_opened(scene: Scene) -> bool:
    """A code that redirects to a secret page, opened at home."""
    fields = {"scan_type": None, "target_url": "https://museum.example/", "reward_item": None, "reward_quantity": None}
    text = current_text(scene.conn, screen_code(scene, **fields), steps_old=3)
    return bool(scene.ask("GET", text.removeprefix("https://any.example")).status_code == 302)


def revoked_screen(scene: Scene) -> bool:
    path = f"{scene.victim.codes}/{screen_code(scene)}/screens"
    screen = scene.ask("POST", path, scene.victim.admin, {"name": "Entrance"}).json
    scene.ask("DELETE", f"{path}/{screen['id']}", scene.victim.admin)
    return scene.lets("GET", f"{screen['url']}/state")


def keep_revoked(*_: object) -> str:
    return "Entrance"


def image_of_another_organization(scene: Scene) -> bool:
    return scene.lets("GET", f"{scene.attacker.codes}/{screen_code(scene)}/rotating", scene.attacker.admin)


def screen_revoked_by_another_organization(scene: Scene) -> bool:
    qr_id = screen_code(scene)
    screen = screens.add(scene.conn, scene.victim.org_id, qr_id, "Entrance", "token")
    return scene.lets("DELETE", f"{scene.attacker.codes}/{qr_id}/screens/{screen.id}", scene.attacker.admin)


def token_in_the_log(scene: Scene) -> bool:
    """Readers of the log of requests can open a screen whose link they find there."""
    with patch.object(request_context, "log", MagicMock()) as log:
        scene.ask("GET", "/screen/secret/state")
    return "secret" in log.info.call_args.kwargs["path"]


def step_of_any(_rotation: Rotation, step_mac: str | None) -> int | None:
    """Return the step without looking at its MAC. A text without a step has the current one."""
    return int(step_mac.partition(".")[0]) if step_mac else Rotation(HOURLY, b"").step_at(datetime.now(UTC))


SAME_ORGANIZATION = all_of(
    without_condition(codes.find, "org_id = %(org_id)s"), without_condition(screens.find, "org_id = %(org_id)s")
)
EVERY_STEP_IS_CURRENT = replaced(Rotation, "is_current", lambda *_: True)
ATTACKS = [
    Attack("a guessed MAC of a rotating code", guessed_mac, replaced(Rotation, "verify", step_of_any)),
    Attack("the text of a rotating code without a MAC", bare_text, replaced(Rotation, "verify", step_of_any)),
    Attack("a MAC of another rotating code", mac_of_own_code, with_one_secret_for_all),
    Attack("a photograph of a screen", photograph, EVERY_STEP_IS_CURRENT),
    Attack(
        "a photograph of a screen, dated back",
        dated_back,
        replaced(checks, "_max_delay", lambda case: case.limits.max_age),
    ),
    Attack(
        "a photograph from before a change of rotation_seconds",
        of_an_older_length,
        replaced(Rotation, "sign", sign_the_number_only),
    ),
    Attack("a photograph of a screen, opened by a browser", photograph_opened, EVERY_STEP_IS_CURRENT),
    Attack("a revoked screen", revoked_screen, replaced(screens, "revoke", keep_revoked)),
    Attack("the current image of another organization's code", image_of_another_organization, SAME_ORGANIZATION),
    Attack(
        "another organization's screen, revoked",
        screen_revoked_by_another_organization,
        without_condition(screens.revoke, "org_id = %(org_id)s"),
    ),
    Attack(
        "the link of a screen in the log",
        token_in_the_log,
        replaced(request_context, "SECRET_PATHS", re.compile("(never) at all")),
    ),
]
