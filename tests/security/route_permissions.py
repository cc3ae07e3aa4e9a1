"""Every route and the callers it permits, as the contract says. Listed apart from the code, so a weakened decorator is
found."""

from typing import Literal, NamedTuple

from shared.organizations.api_keys import Scope
from shared.organizations.rules import Role

OK = (200, 201, 202, 204, 302)


class Permission(NamedTuple):
    """`who` is the weakest caller that passes: public, a player, a refresh token, the player of the path, or a role."""

    who: Literal["public", "player", "refresh", "self"] | Role
    scope: Scope | None = None  # an API key with it passes, too
    passes: tuple[int, ...] = OK  # statuses for a permitted caller
    others: int | None = None  # status for another player
    unaudited: str | None = None  # why a success adds no entry to the audit log


HANDSHAKE = (400,)
"""The request is permitted, and lacks the key of a handshake."""
CATALOG = (200, 409, 503)
"""No catalog runs here. Its quests may be cached."""
ORG = "/api/organizations/{org_id}"
CODE = f"{ORG}/qr-codes/{{qr_id}}"

PERMISSIONS: dict[str, Permission] = {
    "GET /healthz": Permission("public"),
    "GET /health": Permission("public"),
    "GET /readyz": Permission("public", passes=(200, 503)),
    "GET /metrics": Permission("public"),
    "GET /openapi.json": Permission("public"),
    "GET /docs": Permission("public"),
    "GET /docs/start.js": Permission("public"),
    "GET /docs/{name}": Permission("public"),
    "GET /b/{slug}": Permission("public"),
    "GET /s/{code}": Permission("public"),
    "GET /retrieve/{qr_id}": Permission("public"),
    "GET /retrieve/{qr_id}/image": Permission("public"),
    "GET /qr/retrieve/{qr_id}": Permission("public"),
    "GET /screen/{token}": Permission("public"),
    "GET /screen/{token}/state": Permission("public"),
    "GET /screen/{token}/image": Permission("public"),
    "POST /auth/register": Permission("public"),
    "POST /auth/login": Permission("public", passes=(401,)),  # with an unknown username
    "POST /auth/guest": Permission("public"),
    "POST /auth/upgrade": Permission("player"),
    "POST /auth/refresh": Permission("refresh"),
    "POST /auth/logout": Permission("player"),
    "GET /users/me": Permission("player"),
    "PATCH /users/me": Permission("player"),
    "DELETE /users/me": Permission("player"),
    "POST /users/me/password": Permission("player", passes=(409,)),  # guests have no password
    "GET /users/me/export": Permission("player"),
    "GET /users/me/sessions": Permission("player"),
    "DELETE /users/me/sessions/{session_id}": Permission("player", others=404),
    "POST /scan": Permission("player", "scan"),
    "POST /scans/batch": Permission("player", "scan"),
    "GET /scan/{scan_id}": Permission("player", "scan", others=404),
    "GET /qr/{code}": Permission("player"),
    "GET /player/{player_id}/history": Permission("self"),
    "GET /player/{player_id}/puzzles": Permission("self"),
    "GET /player/{player_id}/inventory": Permission("self"),
    "POST /encounters/{encounter_id}/solve": Permission("player", others=403),
    "POST /redemptions/token": Permission("player"),
    f"GET {ORG}/items": Permission("analyst"),
    f"PUT {ORG}/items/{{item}}": Permission("admin"),
    f"POST {ORG}/redemptions": Permission("admin", "redeem"),
    f"GET {ORG}/redemptions": Permission("analyst"),
    f"GET {ORG}/redemptions.csv": Permission("analyst"),
    f"GET {ORG}/redemptions/daily": Permission("analyst"),
    f"POST {ORG}/redemptions/{{redemption_id}}/undo": Permission("admin", "redeem", others=403),
    "POST /ws/ticket": Permission("player"),
    "GET /ws/{player_id}": Permission("self", passes=HANDSHAKE),
    "GET /ws/organizations/{org_id}": Permission("analyst", passes=HANDSHAKE),
    "POST /generate": Permission("player"),
    "POST /qr/generate": Permission("player"),
    "DELETE /retrieve/{qr_id}": Permission("player", others=403),
    "POST /api/v1/track/signin": Permission("player", "track", passes=CATALOG),
    "POST /api/v1/track/signup": Permission("player", "track", passes=CATALOG),
    "POST /api/v1/track/claim_reward": Permission("player", passes=CATALOG),
    "GET /api/v1/quests": Permission("player", passes=CATALOG),
    "GET /api/v1/quests/events": Permission("player"),
    "POST /api/organizations": Permission("player"),
    "GET /api/organizations": Permission("player"),
    f"GET {ORG}": Permission("member"),
    f"PATCH {ORG}": Permission("owner"),
    f"DELETE {ORG}": Permission("owner"),
    f"POST {ORG}/restore": Permission("owner", unaudited="it is open"),
    f"GET {ORG}/members": Permission("member"),
    f"POST {ORG}/members": Permission("admin"),
    f"PATCH {ORG}/members/{{player_id}}": Permission("owner"),
    f"DELETE {ORG}/members/{{player_id}}": Permission("owner"),
    f"GET {ORG}/invitations": Permission("admin"),
    f"POST {ORG}/invitations": Permission("admin"),
    f"DELETE {ORG}/invitations/{{invitation_id}}": Permission("admin"),
    "GET /users/me/invitations": Permission("player"),
    "GET /invitations/{token}": Permission("public"),
    "POST /invitations/{token}/accept": Permission("player", others=404),
    "POST /invitations/{token}/decline": Permission("player", others=404),
    f"GET {ORG}/api-keys": Permission("admin"),
    f"POST {ORG}/api-keys": Permission("admin"),
    f"DELETE {ORG}/api-keys/{{key_id}}": Permission("admin"),
    f"GET {ORG}/aliases": Permission("member"),
    f"DELETE {ORG}/aliases/{{alias}}": Permission("owner"),
    f"GET {ORG}/audit": Permission("admin"),
    f"GET {ORG}/qr-codes": Permission("member", "codes:read"),
    f"POST {ORG}/qr-codes": Permission("admin", "codes:write"),
    f"POST {ORG}/qr-codes/bulk": Permission("admin", "codes:write"),
    f"POST {ORG}/qr-codes/import": Permission("admin", "codes:write"),
    f"PATCH {ORG}/qr-codes": Permission("admin", "codes:write"),
    f"DELETE {ORG}/qr-codes": Permission("admin", "codes:write"),
    f"GET {ORG}/qr-codes/places": Permission("member", "codes:read"),
    f"GET {ORG}/tags": Permission("member", "codes:read"),
    f"GET {ORG}/qr-codes/export": Permission("analyst", "codes:read"),
    f"GET {ORG}/imports/{{import_id}}": Permission("admin", "codes:write"),
    f"GET {CODE}": Permission("member", "codes:read"),
    f"PATCH {CODE}": Permission("admin", "codes:write"),
    f"DELETE {CODE}": Permission("admin", "codes:write"),
    f"GET {CODE}/aliases": Permission("member", "codes:read"),
    f"DELETE {CODE}/aliases/{{alias}}": Permission("admin", "codes:write"),
    f"GET {CODE}/image": Permission("member", "codes:read"),
    f"GET {CODE}/rotating": Permission("admin"),
    f"GET {CODE}/rotating/image": Permission("admin"),
    f"POST {CODE}/screens": Permission("admin"),
    f"GET {CODE}/screens": Permission("admin"),
    f"DELETE {CODE}/screens/{{screen_id}}": Permission("admin"),
    f"GET {ORG}/qr-business/image": Permission("member", "codes:read"),
    f"GET {CODE}/customization": Permission("member", "codes:read"),
    f"PUT {CODE}/customization": Permission("admin", "codes:write"),
    f"DELETE {CODE}/customization": Permission("admin", "codes:write"),
    f"POST {CODE}/customization/preview": Permission("admin", "codes:write", unaudited="it stores nothing"),
    f"PUT {CODE}/customization/logo": Permission("admin", "codes:write"),
    f"DELETE {CODE}/customization/logo": Permission("admin", "codes:write"),
    f"POST {ORG}/renders": Permission("admin", "renders"),
    f"GET {ORG}/renders": Permission("admin", "renders"),
    f"GET {ORG}/renders/{{render_id}}": Permission("admin", "renders"),
    f"GET {ORG}/renders/{{render_id}}/download": Permission("admin", "renders"),
    f"DELETE {ORG}/renders/{{render_id}}": Permission("admin", "renders"),
    f"GET {ORG}/label-templates": Permission("admin", "renders"),
    f"POST {ORG}/label-templates": Permission("admin"),
    f"GET {ORG}/label-templates/{{template}}": Permission("admin", "renders"),
    f"PUT {ORG}/label-templates/{{template}}": Permission("admin"),
    f"DELETE {ORG}/label-templates/{{template}}": Permission("admin"),
    f"GET {ORG}/label-templates/{{template}}/test-sheet.pdf": Permission("admin", "renders"),
    f"GET {ORG}/stats": Permission("analyst", "analytics"),
    f"GET {ORG}/timeline": Permission("analyst", "analytics"),
    f"GET {ORG}/timeline.csv": Permission("analyst", "analytics"),
    f"GET {CODE}/stats": Permission("analyst", "analytics"),
    f"GET {CODE}/timeline": Permission("analyst", "analytics"),
    f"GET {CODE}/timeline.csv": Permission("analyst", "analytics"),
    f"GET {ORG}/scans": Permission("analyst"),
    f"GET {ORG}/scans.csv": Permission("analyst"),
    f"GET {ORG}/scans/held/count": Permission("admin"),
    f"GET {ORG}/progress": Permission("analyst"),
    f"GET {ORG}/progress.csv": Permission("analyst"),
    f"POST {ORG}/players/names": Permission("admin", unaudited="nothing is written"),
    f"POST {ORG}/scans/{{scan_id}}/release": Permission("admin"),
    f"POST {ORG}/scans/{{scan_id}}/annul": Permission("admin"),
    f"GET {ORG}/scans/{{scan_id}}/explain": Permission("admin"),
    f"POST {ORG}/scans/simulate": Permission("admin", unaudited="nothing is written"),
}
