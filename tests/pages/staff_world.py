"""An organization with something on each of its pages, and a member of each role."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from shared.organizations.rules import ROLES, Role
from tests.pages.browsers import DAM_SQUARE, Api
from tests.pages.test_access import PAGES
from tests.support.callers import bearer
from tests.support.polling import eventually

COIN = {"item": "gold_coin", "quantity": 1}
UTRECHT = {"latitude": 52.0907, "longitude": 5.1214, "accuracy": 8}
CODES = 50
IMPORTED = 1001
"""One row more than an import at once may have, so a worker checks the file."""


@dataclass(frozen=True)
class StaffWorld:
    """An organization. `players` has the session of a member of each role."""

    api: Api
    organization: dict[str, Any]
    players: dict[Role, dict[str, Any]]
    paths: dict[str, str]
    """By rule of test_access: a path that exists."""

    def pages_of(self, *roles: Role) -> dict[str, str]:
        """Return the paths of the pages that need one of these roles, by their rules."""
        return {rule: path for rule, path in self.paths.items() if PAGES[rule] in roles}


def make_staff_world(api: Api) -> StaffWorld:
    """Make the organization. Half of its codes are on a map, each was scanned once, and one scan is held."""
    owner = api.register()
    token, organization = owner["access_token"], api.organization(owner["access_token"])
    path = f"/api/organizations/{organization['id']}"
    players = {role: owner if role == "owner" else invite(api, path, token, role) for role in ROLES}
    new = [
        {"scan_type": "item_drop", "description": f"Stop {number}", "tags": ["east"], "reward": COIN}
        | ({"latitude": 52.3 + number / 1000, "longitude": 4.9} if number % 2 else {})
        for number in range(CODES - 3)
    ]
    made = api.ask("POST", f"{path}/qr-codes/bulk", token, {"codes": new})["rows"]
    near, far = (
        api.code(token, organization["id"], requires_location=True, latitude=at["latitude"], longitude=at["longitude"])
        for at in (DAM_SQUARE, UTRECHT)
    )
    rotating = api.code(token, organization["id"], rotating=True)
    api.ask("POST", f"{path}/qr-codes/{rotating['id']}/screens", token, {"name": "Entrance"})
    scan_all(api, [row["code"] for row in made])
    visitor = api.register()
    scan(api, visitor, near["code"], DAM_SQUARE)
    held = scan(api, visitor, far["code"], UTRECHT)
    assert held["status"] == "held"
    quest = {
        "name": f"walk-{organization['slug']}",
        "description": "Find the first stop",
        "codes": [made[0]["code"]],
        "streak": 1,
        "reward": {"item": "badge", "quantity": 1},
        "active": True,
    }
    api.ask("POST", f"{path}/quests", token, quest)
    api.ask("POST", f"{path}/api-keys", token, {"name": "Game server", "scopes": ["scan"]})
    api.ask("POST", f"{path}/invitations", token, {"role": "analyst"})
    render = api.ask("POST", f"{path}/renders", token, {"all": True, "format": "svg", "size": 200})
    parameters = {
        "slug": organization["slug"],
        "code_id": near["id"],
        "scan_id": held["scan_id"],
        "import_id": check_file(api, path, token),
        "render_id": render["render_id"],
        "name": quest["name"],
    }
    paths = {rule: rule.format_map(parameters) for rule, who in PAGES.items() if who in ROLES}
    return StaffWorld(api, organization, players, paths)


def invite(api: Api, path: str, token: str, role: str) -> Any:
    """Return the session of a new member with this role."""
    invitation = api.ask("POST", f"{path}/invitations", token, {"role": role})
    player = api.register()
    api.ask("POST", f"{urlsplit(invitation['url']).path}/accept", player["access_token"])
    return player


def scan(api: Api, player: Any, code: str, place: dict[str, float]) -> Any:
    """Scan a code at a place. Return the scan with its verdict."""
    body = {"player_id": player["player_id"], "qr_code": code} | place
    return api.ask("POST", "/scan", player["access_token"], body, Prefer="wait=10")


def scan_all(api: Api, codes: list[str]) -> None:
    """Scan each code once, by one player, and wait for the verdicts."""
    player, now = api.register(), datetime.now(UTC).isoformat()
    scans = [
        {"player_id": player["player_id"], "qr_code": code, "scanned_at": now, "nonce": str(number)}
        for number, code in enumerate(codes)
    ]
    accepted = api.ask("POST", "/scans/batch", player["access_token"], {"sent_at": now, "scans": scans})
    last = accepted["scans"][-1]["scan_id"]
    eventually(lambda: api.ask("GET", f"/scan/{last}", player["access_token"])["status"] != "pending")


def check_file(api: Api, path: str, token: str) -> str:
    """Check a CSV file without adding its codes. Return the id of the import."""
    lines = ["description,scan_type", *(f"Place {number},item_drop" for number in range(IMPORTED))]
    response = api.http.request(
        "POST",
        f"{api.base_url}{path}/qr-codes/import?dry_run=true",
        body="\n".join(lines),
        headers=bearer(token) | {"Content-Type": "text/csv"},
    )
    assert response.status == 202, response.data
    return str(response.json()["id"])
