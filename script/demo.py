"""The main job from end to end, with real input: codes are printed, read back as a phone would, and scanned.

Everything goes over HTTP and a WebSocket to the processes that script/server runs. Each verdict is taken from the
socket, compared with what GET /scan says, and with what it ought to be.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from script.client import AnswerError, Listener, Player
from script.demo_codes import brand, print_codes
from script.stack import running_server
from script.stack.running_server import ServerFailedError

if TYPE_CHECKING:
    from script.stack import RunningServer

DATA = Path(__file__).resolve().parents[1] / ".waymark"

Place = tuple[float, float]
DAM_SQUARE: Place = (52.37310, 4.89260)
IN_FRONT_OF_THE_PALACE: Place = (52.37330, 4.89220)  # 35 m from there
MAGNA_PLAZA: Place = (52.37368, 4.89020)  # 170 m
SCHIPHOL: Place = (52.30860, 4.76390)  # 11 km
CENTRAL_STATION: Place = (52.37890, 4.90020)
VONDELPARK: Place = (52.35790, 4.86860)
EIFFEL_TOWER: Place = (48.85837, 2.29448)


@dataclass(frozen=True)
class Scene:
    """One scan: who scans which code where, and what has to come of it."""

    player: str
    code: str
    where: str
    place: Place | None
    expected: str
    accuracy: float | None = 8.0


SCENES = (
    Scene("ada", "dam", "Dam square", DAM_SQUARE, "success"),
    Scene("ada", "dam", "Dam square, once more", DAM_SQUARE, "player_limit"),
    Scene("grace", "dam", "Magna Plaza, 170 m off", MAGNA_PLAZA, "not_present"),
    Scene("grace", "dam", "Schiphol, 11 km off", SCHIPHOL, "not_present"),
    Scene("grace", "dam", "no location", None, "location_required"),
    Scene("grace", "dam", "Dam square, poor fix", DAM_SQUARE, "better_location_needed", accuracy=900.0),
    Scene("grace", "dam", "in front of the palace", IN_FRONT_OF_THE_PALACE, "success"),
    Scene("grace", "park", "Vondelpark", VONDELPARK, "impossible_travel"),
    Scene("linus", "park", "Vondelpark", VONDELPARK, "success"),
    Scene("ada", "station", "Central Station", CENTRAL_STATION, "success"),
    Scene("ada", "fountain", "anywhere", None, "success"),
    Scene("ada", "fountain", "anywhere, at once again", None, "cooldown"),
    Scene("linus", "golden", "anywhere, the only one", None, "success"),
    Scene("grace", "golden", "anywhere, too late", None, "sold_out"),
    Scene("linus", "summer", "anywhere", None, "expired"),
    Scene("linus", "autumn", "anywhere", None, "not_started"),
    Scene("linus", "closed", "anywhere", None, "inactive"),
    Scene("linus", "nonsense", "anywhere", None, "unknown_code"),
    Scene("linus", "dam", "Eiffel Tower", EIFFEL_TOWER, "not_present"),
)


def codes() -> dict[str, dict[str, Any]]:
    """The demo's codes, by the name that the scenes use."""
    now = datetime.now(UTC)

    def at(place: Place, **fields: Any) -> dict[str, Any]:
        return {"requires_location": True, "latitude": place[0], "longitude": place[1], **fields}

    gem = {"scan_type": "item_drop", "reward": {"item": "gem", "quantity": 5}}
    puzzle = {"puzzle_type": "decryption", "difficulty_level": 4, "data": {"cipher": "Zdbpdun"}, "solution": "Waymark"}
    return {
        "dam": at(
            DAM_SQUARE,
            scan_type="item_drop",
            reward={"item": "spy_gadget", "quantity": 1},
            description="The lion on Dam square",
        ),
        "park": at(VONDELPARK, scan_type="encounter", encounter=puzzle, description="A cipher in the park"),
        "fountain": gem | {"per_player_limit": None, "cooldown_seconds": 3600, "description": "The fountain"},
        "station": at(
            CENTRAL_STATION,
            scan_type="transportation",
            destination_code="fountain",
            description="The express to the fountain",
        ),
        "golden": gem | {"max_scans": 1, "description": "The golden ticket"},
        "summer": gem | {"expires_at": (now - timedelta(days=1)).isoformat(), "description": "Last summer"},
        "autumn": gem | {"starts_at": (now + timedelta(days=30)).isoformat(), "description": "Next autumn"},
        "closed": gem | {"active": False, "description": "Closed for today"},
    }


@dataclass(frozen=True)
class Played:
    """What the demo leaves for a browser."""

    run: str
    slug: str
    """Of the organization."""
    right: bool
    passwords: dict[str, str]
    """By username: the owner's, and those of the players."""

    @property
    def owner(self) -> str:
        """Username of the owner."""
        return f"owner-{self.run}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/demo")
    parser.add_argument(
        "--exit", action="store_true", help="stop afterwards; status 0 only if all results are as expected"
    )
    leaves = parser.parse_args().exit
    data = Path(os.environ.get("WAYMARK_DATA") or DATA).absolute()
    stores = {name: os.environ.get(name) or None for name in ("DATABASE_URL", "REDIS_URL")}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"Starting PostgreSQL, Redis and all processes. Their log is {data / 'server.log'}", flush=True)
    try:
        with running_server(data=data, port=int(os.environ.get("PORT") or 8000), env=stores) as server:
            played = play(server, data)
            if leaves or not played.right:
                return 0 if played.right else 1
            print(where_to_look(server.base_url, played), flush=True)
            server.process.wait()
    except ServerFailedError as error:
        print(f"The demo cannot start: {error}", file=sys.stderr)
        return 1
    except (AnswerError, TimeoutError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopping")
    return 0


def where_to_look(base_url: str, played: Played) -> str:
    """Return the addresses to open in a browser."""
    return (
        f"\nOpen one of these in a browser. They work until Ctrl-C."
        f"\n  As a player: {base_url}/s/fountain-{played.run}"
        f"\n  As staff:    {base_url}/sign-in?next=/o/{played.slug}"
        f"\n               Username {played.owner}, password {played.passwords[played.owner]}"
        f"\nThe API is at {base_url}/docs"
    )


def play(server: RunningServer, data: Path) -> Played:
    """Play every scene and print its result."""
    run = secrets.token_hex(3)
    names = ("owner", "ada", "grace", "linus")
    passwords = {f"{name}-{run}": secrets.token_urlsafe(12) for name in names}
    owner, *others = (Player.register(server.base_url, *account) for account in passwords.items())
    players = dict(zip(names[1:], others, strict=True))
    org = owner.post("/api/organizations", {"name": f"Amsterdam Quest {run}"})
    brand(owner, org)
    prints = print_codes(owner, org, codes(), run, data / "demo")
    printed = {name: one.text for name, one in prints.items()}
    print(
        f"Printed {len(printed)} codes to {data / 'demo'}, and decoded each print: see contact-sheet.png\n", flush=True
    )
    owner.post(f"/api/organizations/{org['id']}/quests", quest(run))
    listeners = {name: player.listen() for name, player in players.items()}
    right = True
    print(f"{'player':7} {'code':9} {'where':24} {'verdict':23} {'gives':32} {'ms':>5}")
    print("-" * 105)
    for scene in SCENES:
        scanned = printed.get(scene.code, f"{server.base_url}/s/{scene.code}-{run}")
        right &= act(scene, scanned, players[scene.player], listeners[scene.player])
    for name, player in players.items():
        held = player.get(f"/player/{player.player_id}/inventory")["items"]
        history = player.get(f"/player/{player.player_id}/history")["scans"]
        owns = ", ".join(f"{entry['quantity']} {entry['item']}" for entry in held) or "nothing"
        right &= len(history) == sum(scene.player == name for scene in SCENES)
        print(f"\n{name} has made {len(history)} scans and owns {owns}", end="")
        listeners[name].close()
    right &= resumes(players["ada"], listeners["ada"])
    print("\n\nAll results are as expected." if right else "\n\nSOME RESULTS ARE NOT AS EXPECTED.", flush=True)
    return Played(run, org["slug"], right, passwords)


def quest(run: str) -> dict[str, Any]:
    """Three of the codes, in any order."""
    return {
        "name": f"city-walk-{run}",
        "description": "Find the lion, the station and the fountain",
        "codes": [f"{name}-{run}" for name in ("dam", "station", "fountain")],
        "streak": 3,
        "reward": {"item": "city_badge", "quantity": 1},
        "active": True,
    }


def act(scene: Scene, scanned: str, player: Player, listener: Listener) -> bool:
    """Submit one scan, wait for its verdict on the socket, and print a line. Return whether it is the expected one."""
    body: dict[str, Any] = {"player_id": player.player_id, "qr_code": scanned, "nonce": secrets.token_hex(8)}
    if scene.place:
        body |= {"latitude": scene.place[0], "longitude": scene.place[1], "accuracy": scene.accuracy}
    started = time.perf_counter()
    accepted = player.post("/scan", body)
    received = listener.verdict(accepted["scan_id"])
    milliseconds = (time.perf_counter() - started) * 1000
    found = player.get(accepted["result_url"])
    verdict = received.get("reason") or received["status"]
    right = verdict == scene.expected and (found["status"], found.get("reason")) == (
        received["status"],
        received.get("reason"),
    )
    mark = "" if right else f"  WRONG, not {scene.expected}"
    shown = received["status"] if verdict == received["status"] else f"{received['status']}: {verdict}"
    print(
        f"{scene.player:7} {scene.code:9} {scene.where:24} {shown.removeprefix('failure: '):23} {gives(found):32} "
        f"{milliseconds:5.0f}{mark}",
        flush=True,
    )
    return right


def gives(scan: dict[str, Any]) -> str:
    """Return what a scan gave, in a few words."""
    if "reward" in scan:
        return f"{scan['quantity']} {scan['reward']}"
    if "encounter" in scan:
        puzzle = scan["encounter"]
        return f"{puzzle['puzzle_type']}, difficulty {puzzle['difficulty_level']}: {puzzle['data'].get('cipher', '')}"
    if "destination" in scan:
        return f"leads to {scan['destination']['description']}"
    return ""


def resumes(player: Player, before: Listener) -> bool:
    """Return whether a socket that resumes after the first message receives each later one once and in order."""
    first, *rest = (message["id"] for message in before.messages)
    again = player.listen(since=first)
    received = [message["id"] for message in again.wait(len(rest))]
    again.close()
    name = player.username.partition("-")[0]
    print(f"\n\n{name} reconnected, resumed after event {first}, and received {len(received)} events again", end="")
    return received == rest


if __name__ == "__main__":
    sys.exit(main())
