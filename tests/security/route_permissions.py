"""Every route and who may pass it, as `api.md` says: written down apart from the code, so that a decorator that is
lowered is seen."""

from typing import Literal, NamedTuple

from shared.organizations.api_keys import Scope
from shared.organizations.rules import Role

OK = (200, 201, 202, 204, 302)


class Door(NamedTuple):
    """`who` is the least that passes: anybody, any player, a refresh token, the player in the path, or a role."""

    who: Literal["anybody", "player", "refresh", "oneself"] | Role
    scope: Scope | None = None  # with which an API key passes, too
    passes: tuple[int, ...] = OK  # what they get who may pass
    others: int | None = None  # what another player gets, where the thing is the first one's
    unaudited: str | None = None  # why a success leaves no line in the organization's trail


HANDSHAKE = (400,)
"""Past the gate a request finds that it lacks the key of a handshake."""
CATALOG = (200, 409, 503)
"""No catalog runs here; its answers may be cached."""
ORG = "/api/organizations/{org_id}"
CODE = f"{ORG}/qr-codes/{{qr_id}}"

DOORS: dict[str, Door] = {
    "GET /healthz": Door("anybody"),
    "GET /readyz": Door("anybody", passes=(200, 503)),
    "GET /metrics": Door("anybody"),
    "GET /openapi.json": Door("anybody"),
    "GET /docs": Door("anybody"),
    "GET /docs/start.js": Door("anybody"),
    "GET /docs/{name}": Door("anybody"),
    "GET /b/{slug}": Door("anybody"),
    "GET /s/{code}": Door("anybody"),
    "GET /retrieve/{qr_id}": Door("anybody"),
    "GET /retrieve/{qr_id}/image": Door("anybody"),
    "POST /auth/register": Door("anybody"),
    "POST /auth/login": Door("anybody", passes=(401,)),  # with a name that nobody has
    "POST /auth/guest": Door("anybody"),
    "POST /auth/upgrade": Door("player"),
    "POST /auth/refresh": Door("refresh"),
    "POST /auth/logout": Door("player"),
    "GET /users/me": Door("player"),
    "PATCH /users/me": Door("player"),
    "DELETE /users/me": Door("player"),
    "POST /users/me/password": Door("player", passes=(409,)),  # these are guests, who have none
    "GET /users/me/export": Door("player"),
    "POST /scan": Door("player", "scan"),
    "GET /scan/{scan_id}": Door("player", "scan", others=404),
    "GET /qr/{code}": Door("player"),
    "GET /player/{player_id}/history": Door("oneself"),
    "GET /player/{player_id}/inventory": Door("oneself"),
    "POST /encounters/{encounter_id}/solve": Door("player", others=403),
    "POST /ws/ticket": Door("player"),
    "GET /ws/{player_id}": Door("oneself", passes=HANDSHAKE),
    "GET /ws/organizations/{org_id}": Door("analyst", passes=HANDSHAKE),
    "POST /generate": Door("player"),
    "DELETE /retrieve/{qr_id}": Door("player", others=403),
    "POST /api/v1/track/signin": Door("player", passes=CATALOG),
    "POST /api/v1/track/signup": Door("player", passes=CATALOG),
    "POST /api/v1/track/claim_reward": Door("player", passes=CATALOG),
    "GET /api/v1/quests": Door("player", passes=CATALOG),
    "GET /api/v1/quests/events": Door("player"),
    "POST /api/organizations": Door("player"),
    "GET /api/organizations": Door("player"),
    f"GET {ORG}": Door("member"),
    f"PATCH {ORG}": Door("owner"),
    f"GET {ORG}/members": Door("member"),
    f"POST {ORG}/members": Door("owner"),
    f"PATCH {ORG}/members/{{player_id}}": Door("owner"),
    f"DELETE {ORG}/members/{{player_id}}": Door("owner"),
    f"GET {ORG}/api-keys": Door("admin"),
    f"POST {ORG}/api-keys": Door("admin"),
    f"DELETE {ORG}/api-keys/{{key_id}}": Door("admin"),
    f"GET {ORG}/audit": Door("admin"),
    f"GET {ORG}/qr-codes": Door("member", "codes:read"),
    f"POST {ORG}/qr-codes": Door("admin", "codes:write"),
    f"POST {ORG}/qr-codes/bulk": Door("admin", "codes:write"),
    f"POST {ORG}/qr-codes/import": Door("admin", "codes:write"),
    f"GET {ORG}/qr-codes/export": Door("analyst", "codes:read"),
    f"GET {ORG}/imports/{{import_id}}": Door("admin", "codes:write"),
    f"GET {CODE}": Door("member", "codes:read"),
    f"PATCH {CODE}": Door("admin", "codes:write"),
    f"DELETE {CODE}": Door("admin", "codes:write"),
    f"GET {CODE}/image": Door("member", "codes:read"),
    f"GET {ORG}/qr-business/image": Door("member", "codes:read"),
    f"GET {CODE}/customization": Door("member", "codes:read"),
    f"PUT {CODE}/customization": Door("admin", "codes:write"),
    f"DELETE {CODE}/customization": Door("admin", "codes:write"),
    f"PUT {CODE}/customization/logo": Door("admin", "codes:write"),
    f"DELETE {CODE}/customization/logo": Door("admin", "codes:write"),
    f"POST {ORG}/renders": Door("admin", "renders"),
    f"GET {ORG}/renders": Door("admin", "renders"),
    f"GET {ORG}/renders/{{render_id}}": Door("admin", "renders"),
    f"GET {ORG}/renders/{{render_id}}/download": Door("admin", "renders"),
    f"DELETE {ORG}/renders/{{render_id}}": Door("admin", "renders"),
    f"GET {ORG}/stats": Door("analyst", "analytics"),
    f"GET {ORG}/timeline": Door("analyst", "analytics"),
    f"GET {ORG}/timeline.csv": Door("analyst", "analytics"),
    f"GET {CODE}/stats": Door("analyst", "analytics"),
    f"GET {CODE}/timeline": Door("analyst", "analytics"),
    f"GET {CODE}/timeline.csv": Door("analyst", "analytics"),
    f"GET {ORG}/scans": Door("admin"),
    f"POST {ORG}/scans/{{scan_id}}/release": Door("admin"),
    f"POST {ORG}/scans/{{scan_id}}/annul": Door("admin"),
    f"GET {ORG}/scans/{{scan_id}}/explain": Door("admin"),
    f"POST {ORG}/scans/simulate": Door("admin", unaudited="nothing is written"),
}
