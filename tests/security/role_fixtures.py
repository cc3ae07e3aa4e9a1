"""Two organizations with everybody who may come to a door, and whatever makes a request succeed: fresh things for each
attempt, and a body for each route that takes one."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

from flask import Flask
from PIL import Image

from shared.accounts import sessions
from shared.codes import screens
from shared.codes.screens import Screen
from shared.images import organization_designs
from shared.images import store as images
from shared.imports import store as imports
from shared.infra.db import Conn
from shared.infra.ids import uuid7
from shared.organizations import branding
from shared.organizations.api_keys import SCOPES, Scope
from shared.quests import organization_quests as quests
from shared.quests.definitions import QuestDefinition
from shared.renders import label_template_store as label_templates
from shared.renders.label_templates import TEMPLATES
from shared.scans import store as scans
from shared.scans.store import NewScan
from tests.encounters.factories import RIGHT, make_puzzle, open_puzzle
from tests.generated_codes.factories import ask as generate
from tests.redemptions.factories import COFFEE, add_token, grant, redeem
from tests.renders.factories import make_render
from tests.security.route_permissions import CODE, ORG
from tests.support.callers import ApiKeyCaller, SignedInPlayer, Staff, add_member, bearer, make_key, make_staff, sign_in
from tests.support.factories import code_text, make_code, make_held_scan, make_invitation, make_org

Body = dict[str, Any]
"""What Flask's test client is given besides the path and the headers."""


@dataclass
class World:
    """`mine` is the organization in the paths, `other` another one."""

    app: Flask
    conn: Conn
    mine: Staff
    other: Staff

    @classmethod
    def make(cls, app: Flask, conn: Conn) -> "World":
        return cls(app, conn, make_staff(app, conn), make_staff(app, conn))

    def person(self) -> SignedInPlayer:
        return sign_in(self.app, self.conn)

    def key(self, *scopes: Scope) -> ApiKeyCaller:
        return make_key(self.conn, self.mine.org_id, *scopes)

    def key_without(self, scope: Scope) -> ApiKeyCaller:
        return self.key(*(other for other in SCOPES if other != scope))

    def bad_credentials(self) -> dict[str, dict[str, str]]:
        """Headers that authenticate no caller. All but the first belong to a caller that would pass."""
        revoked, expired = self.key(), self.key()
        self.conn.execute("UPDATE api_keys SET revoked_at = now() WHERE id = %s", (revoked.id,))
        self.conn.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", (expired.id,))
        ended = self.person()
        add_member(self.conn, self.mine.org_id, ended.id, "owner")
        self.conn.execute(
            "UPDATE sessions SET revoked_at = now(), revoked_reason = 'logout' WHERE id = %s", (ended.session_id,)
        )
        token = self.mine.owner.access_token
        return {
            "no credentials": {},
            "another scheme": {"Authorization": f"Basic {token}"},
            "a token that was cut": bearer(token[:-1]),
            "a refresh token": bearer(self.mine.owner.refresh_token),
            "a revoked session": ended.headers,
            "a revoked key": revoked.headers,
            "an expired key": expired.headers,
            "a key that was cut": bearer(self.key().text[:-1]),
        }

    def path(self, rule: str, who: SignedInPlayer | ApiKeyCaller, **given: object) -> str:
        """The rule with fresh things of `who`'s and of the organization's, but for those given."""
        names = [part.split("}")[0] for part in rule.split("{")[1:]]
        return rule.format(**{name: given[name] if name in given else self._thing(name, rule, who) for name in names})

    def _thing(self, name: str, rule: str, who: SignedInPlayer | ApiKeyCaller) -> object:
        return THINGS[name](self, rule, who)


def _player(world: World, rule: str, who: SignedInPlayer | ApiKeyCaller) -> UUID:
    if not rule.startswith(ORG):
        return who.id
    member = world.person()
    add_member(world.conn, world.mine.org_id, member.id, "member")
    return member.id


def _code(world: World, rule: str, who: SignedInPlayer | ApiKeyCaller) -> UUID:
    if "/retrieve/" in rule:
        return generate(world.conn, created_by=who.id if isinstance(who, SignedInPlayer) else None)
    code_id = make_code(world.conn, world.mine.org_id, rotating="/rotating" in rule or "/screens" in rule)
    if "{alias}" in rule:
        world.conn.execute("UPDATE qr_codes SET code = code || '-2' WHERE id = %s", (code_id,))
    if "customization" in rule:
        images.lock_customization(world.conn, code_id)
        images.save_logo(world.conn, code_id, logo())
    return code_id


def _scan(world: World, rule: str, who: SignedInPlayer | ApiKeyCaller) -> UUID:
    code_id = make_code(world.conn, world.mine.org_id)
    if rule.startswith(ORG):
        return make_held_scan(world.conn, world.person().id, code_id)
    player_id = who.id if isinstance(who, SignedInPlayer) else world.person().id
    scan = scans.accept(world.conn, NewScan(player_id, code_text(world.conn, code_id)))
    if isinstance(who, ApiKeyCaller):
        world.conn.execute("UPDATE player_scans SET api_key_id = %s WHERE id = %s", (who.id, scan))
    return scan


def _puzzle(world: World, who: SignedInPlayer | ApiKeyCaller) -> UUID:
    code_id, encounter_id = make_puzzle(world.conn, world.mine.org_id)
    if isinstance(who, SignedInPlayer):
        open_puzzle(world.conn, who, code_id)
    return encounter_id


def _session(world: World, who: SignedInPlayer | ApiKeyCaller) -> UUID:
    """Another session of the caller, or of some player."""
    session_id = uuid7()
    player_id = who.id if isinstance(who, SignedInPlayer) else world.person().id
    sessions.create_session(world.conn, session_id, player_id, ttl=timedelta(days=1))
    return session_id


def _invited(world: World, who: SignedInPlayer | ApiKeyCaller) -> UUID:
    return who.id if isinstance(who, SignedInPlayer) else world.person().id


def _alias(world: World, rule: str) -> str:
    """An alias of the organization, or of the newest code, which the same path names."""
    if "qr_id" not in rule:
        slug = anew()
        world.conn.execute("UPDATE organizations SET slug = %s WHERE id = %s", (slug, world.mine.org_id))
        world.conn.execute("UPDATE organizations SET slug = %s WHERE id = %s", (anew(), world.mine.org_id))
        return slug
    row = world.conn.execute(
        """
        SELECT t.code FROM code_texts t JOIN qr_codes q ON q.id = t.qr_code_id
        WHERE t.code <> q.code ORDER BY q.id DESC LIMIT 1
        """
    ).fetchone()
    return str(row[0]) if row else "none"


def _screen(world: World, qr_id: UUID | None = None) -> Screen:
    """A screen of this code, or of the newest rotating one, which the same path names. Its token is its name."""
    rows = world.conn.execute("SELECT id FROM qr_codes WHERE rotating ORDER BY id DESC LIMIT 1").fetchall()
    token = anew()
    return screens.add(world.conn, world.mine.org_id, qr_id or rows[0][0], token, token)


def _token(world: World, rule: str, who: SignedInPlayer | ApiKeyCaller) -> object:
    if rule.startswith("/screen/"):
        return _screen(world, make_code(world.conn, world.mine.org_id, rotating=True)).name
    return make_invitation(world.conn, make_org(world.conn), _invited(world, who))


def _organization(world: World, rule: str) -> UUID:
    if rule.partition("{org_id}/")[2].startswith("customization"):
        organization_designs.remove(world.conn, world.mine.org_id)
        organization_designs.lock(world.conn, world.mine.org_id)
        organization_designs.save_logo(world.conn, world.mine.org_id, logo(), images.logo_digest(logo()))
    if rule.endswith("{org_id}/logo"):
        branding.save_logo(world.conn, world.mine.org_id, logo(), images.logo_digest(logo()))
    return world.mine.org_id


def _slug(world: World) -> str:
    """The slug of an organization with a color and a logo."""
    branding.save_logo(world.conn, world.mine.org_id, logo(), images.logo_digest(logo()))
    world.conn.execute("UPDATE organizations SET color = '#000000', color_light = '#000000', color_dark = '#FFFFFF'")
    row = world.conn.execute("SELECT slug FROM organizations WHERE id = %s", (world.mine.org_id,)).fetchone()
    assert row is not None
    return str(row[0])


def _quest(world: World) -> str:
    name = anew()
    quests.check_quota(world.conn, world.mine.org_id, added=1, limit=1_000)
    quest = QuestDefinition(name, streak=1, tags=("landmark",))
    quests.add(world.conn, world.mine.org_id, quest, active=False, reserved=())
    return name


THINGS: dict[str, Callable[[World, str, SignedInPlayer | ApiKeyCaller], object]] = {
    "org_id": lambda world, rule, _who: _organization(world, rule),
    "player_id": _player,
    "qr_id": _code,
    "scan_id": _scan,
    "session_id": lambda world, _rule, who: _session(world, who),
    "key_id": lambda world, *_: world.key().id,
    "invitation_id": lambda world, *_: make_invitation(world.conn, world.mine.org_id, world.person().id),
    "token": _token,
    "screen_id": lambda world, *_: _screen(world).id,
    "import_id": lambda world, *_: imports.create(world.conn, world.mine.org_id, partial=False).id,
    "render_id": lambda world, *_: make_render(world.conn, world.mine.org_id, make_code(world.conn, world.mine.org_id)),
    "template": lambda world, *_: label_templates.add(world.conn, world.mine.org_id, anew(), TEMPLATES["a4-3x8"]),
    "encounter_id": lambda world, _rule, who: _puzzle(world, who),
    "redemption_id": lambda world, _rule, who: redeem(world.conn, world.person().id, world.mine.org_id, who),
    "item": lambda *_: anew(),
    "code": lambda world, *_: code_text(world.conn, make_code(world.conn, world.mine.org_id)),
    "slug": lambda world, *_: _slug(world),
    "alias": lambda world, rule, _who: _alias(world, rule),
    "name": lambda world, rule, _who: _quest(world) if "/quests/" in rule else "css/swagger-ui.css",
}


def logo() -> bytes:
    file = BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return file.getvalue()


def anew() -> str:
    return f"n{secrets.token_hex(6)}"


def _somebody(world: World) -> str:
    row = world.conn.execute("SELECT username FROM players WHERE id = %s", (world.person().id,)).fetchone()
    assert row is not None
    return str(row[0])


def _scanned(world: World, who: SignedInPlayer | ApiKeyCaller) -> Body:
    return {"player_id": str(who.id if isinstance(who, SignedInPlayer) else world.person().id), "qr_code": "spy123"}


def _selection(world: World) -> Body:
    return {"ids": [str(make_code(world.conn, world.mine.org_id))]}


def _granted(world: World, who: SignedInPlayer | ApiKeyCaller) -> UUID:
    grant(world.conn, who.id, world.mine.org_id)
    return who.id


def _redeemable(world: World, who: SignedInPlayer | ApiKeyCaller) -> Body:
    _granted(world, who if isinstance(who, SignedInPlayer) else world.person())
    return {"item": COFFEE}


def _shown(world: World, who: SignedInPlayer | ApiKeyCaller) -> Body:
    player_id = _granted(world, who if isinstance(who, SignedInPlayer) else world.person())
    return {"token": add_token(world.conn, player_id, world.mine.org_id)}


PASSWORD = "correct horse"
NOTHING: Callable[[World, SignedInPlayer | ApiKeyCaller], Body] = lambda *_: {}  # noqa: E731 - one of many


def _json(
    make: Callable[[World, SignedInPlayer | ApiKeyCaller], Body],
) -> Callable[[World, SignedInPlayer | ApiKeyCaller], Body]:
    return lambda world, who: {"json": make(world, who)}


BODIES: dict[str, Callable[[World, SignedInPlayer | ApiKeyCaller], Body]] = {
    "POST /auth/register": _json(lambda *_: {"username": anew(), "password": PASSWORD}),
    "POST /auth/login": _json(lambda *_: {"username": anew(), "password": PASSWORD}),
    "POST /auth/guest": NOTHING,
    "POST /auth/upgrade": _json(lambda *_: {"username": anew(), "password": PASSWORD}),
    "POST /auth/refresh": NOTHING,
    "POST /auth/logout": NOTHING,
    "PATCH /users/me": _json(lambda *_: {"timezone": "Europe/Amsterdam"}),
    "DELETE /users/me": _json(lambda *_: {}),
    "POST /users/me/password": _json(lambda *_: {"current_password": PASSWORD, "new_password": PASSWORD}),
    "POST /scan": _json(_scanned),
    "POST /scans/batch": _json(lambda *_: {"sent_at": "2026-02-12T10:00:00Z", "scans": []}),
    "POST /encounters/{encounter_id}/solve": _json(lambda *_: {"answer": RIGHT}),
    "POST /redemptions/token": _json(_redeemable),
    "POST /redemptions/token/status": _json(_shown),
    f"PUT {ORG}/items/{{item}}": _json(lambda *_: {"stock": 5}),
    f"POST {ORG}/redemptions": _json(
        lambda world, _who: {"token": add_token(world.conn, _granted(world, world.person()), world.mine.org_id)}
    ),
    f"POST {ORG}/redemptions/preview": _json(
        lambda world, _who: {"token": add_token(world.conn, _granted(world, world.person()), world.mine.org_id)}
    ),
    f"POST {ORG}/redemptions/{{redemption_id}}/undo": NOTHING,
    "POST /ws/ticket": NOTHING,
    "POST /qr/generate": _json(lambda *_: {"data": "https://example.com"}),
    "POST /generate": _json(lambda *_: {"data": "https://example.com"}),
    "POST /api/v1/track/signin": _json(lambda world, who: {"player_id": _scanned(world, who)["player_id"]}),
    "POST /api/v1/track/signup": _json(lambda world, who: {"player_id": _scanned(world, who)["player_id"]}),
    "POST /api/v1/track/claim_reward": _json(lambda *_: {"quest_name": "sign-up"}),
    f"POST {ORG}/quests": _json(lambda *_: {"name": anew(), "streak": 1, "tags": ["landmark"]}),
    f"POST {ORG}/quests/simulate": _json(lambda world, _who: {"name": _quest(world), "events": []}),
    f"PATCH {ORG}/quests/{{name}}": _json(lambda *_: {"description": anew(), "active": True}),
    "POST /api/organizations": _json(lambda *_: {"name": "Museum"}),
    f"PATCH {ORG}": _json(lambda *_: {"name": anew()}),
    f"DELETE {ORG}": _json(lambda world, who: {"name": _slug(world)}),
    f"POST {ORG}/restore": NOTHING,
    f"POST {ORG}/members": _json(lambda world, _who: {"username": _somebody(world), "role": "member"}),
    f"POST {ORG}/invitations": _json(lambda *_: {"role": "member"}),
    "POST /invitations/{token}/accept": NOTHING,
    "POST /invitations/{token}/decline": NOTHING,
    f"PATCH {ORG}/members/{{player_id}}": _json(lambda *_: {"role": "analyst"}),
    f"POST {ORG}/api-keys": _json(lambda *_: {"name": "Kiosk", "scopes": ["scan"]}),
    f"POST {ORG}/qr-codes": _json(lambda *_: {"scan_type": "item_drop"}),
    f"POST {ORG}/qr-codes/bulk": _json(lambda *_: {"codes": [{"scan_type": "item_drop"}]}),
    f"POST {ORG}/qr-codes/import": lambda *_: {"data": "scan_type\nitem_drop\n", "content_type": "text/csv"},
    f"POST {ORG}/qr-codes/blank": _json(lambda *_: {"count": 2}),
    f"PATCH {ORG}/qr-codes": _json(lambda world, _who: _selection(world) | {"add_tags": [anew()]}),
    f"DELETE {ORG}/qr-codes": _json(lambda world, _who: _selection(world)),
    f"GET {ORG}/qr-codes/places": lambda *_: {"query_string": "bbox=-180,-90,180,90&zoom=0"},
    f"PATCH {CODE}": _json(lambda *_: {"description": anew()}),
    f"POST {CODE}/screens": _json(lambda *_: {"name": "Entrance"}),
    f"POST {CODE}/place": _json(lambda *_: {"fixes": [{"latitude": 1, "longitude": 2, "accuracy": 3}]}),
    f"PUT {CODE}/customization": _json(lambda *_: {"style": "dots"}),
    f"PUT {CODE}/customization/logo": lambda *_: {"data": {"logo": (BytesIO(logo()), "logo.png")}},
    f"POST {ORG}/customization/preview": lambda *_: {"data": {"style": "dots", "logo": (BytesIO(logo()), "logo.png")}},
    f"POST {CODE}/customization/preview": lambda *_: {"data": {"style": "dots", "logo": (BytesIO(logo()), "logo.png")}},
    f"PUT {ORG}/customization": _json(lambda *_: {"style": "dots"}),
    f"PUT {ORG}/customization/logo": lambda *_: {"data": {"logo": (BytesIO(logo()), "logo.png")}},
    f"PUT {ORG}/logo": lambda *_: {"data": {"logo": (BytesIO(logo()), "logo.png")}},
    f"POST {ORG}/renders": _json(lambda world, _who: {"qr_ids": [str(make_code(world.conn, world.mine.org_id))]}),
    f"POST {ORG}/label-templates": _json(lambda *_: {"name": anew()} | vars(TEMPLATES["a4-3x8"])),
    f"PUT {ORG}/label-templates/{{template}}": _json(lambda *_: {"name": anew()} | vars(TEMPLATES["a4-3x8"])),
    f"POST {ORG}/scans/{{scan_id}}/release": NOTHING,
    f"POST {ORG}/scans/{{scan_id}}/annul": NOTHING,
    f"POST {ORG}/scans/simulate": _json(_scanned),
    f"POST {ORG}/players/names": _json(lambda world, _who: {"ids": [str(world.person().id)]}),
}
