"""Clients as good ones are: many at once, each sending its scan again, under the same nonce, until it is accepted."""

import random
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import urllib3
from urllib3.exceptions import HTTPError

from shared.scans.rules import Coordinates
from tests.support.callers import SignedInPlayer
from tests.support.factories import AMSTERDAM, LISBON, SIX_KILOMETERS_OFF
from tests.support.polling import eventually

PATIENCE = 90.0
RETRY_SECONDS = 0.1


@dataclass(frozen=True)
class Scan:
    """What a phone submits."""

    player: SignedInPlayer
    code: str
    coordinates: Coordinates | None = None
    nonce: str = field(default_factory=lambda: uuid4().hex)

    def body(self) -> dict[str, Any]:
        at = {}
        if self.coordinates:
            at = {"latitude": self.coordinates.latitude, "longitude": self.coordinates.longitude}
        return {"player_id": str(self.player.id), "qr_code": self.code, "nonce": self.nonce} | at


class Load:
    """Clients of one server, and its responses."""

    def __init__(self, base_url: str, threads: int = 6) -> None:
        self.threads = threads
        self.http = urllib3.connection_from_url(
            base_url, maxsize=2 * threads, block=False, retries=False, timeout=urllib3.Timeout(connect=5, read=30)
        )
        self.accepted: dict[tuple[UUID, str], UUID] = {}
        """The scan_id that each nonce of each player was answered with."""
        self.answers: Counter[int] = Counter()
        self.cuts = 0
        self._giving_up = threading.Event()

    def ask(
        self, method: str, path: str, person: SignedInPlayer | None = None, json: Any = None, **headers: str
    ) -> urllib3.BaseHTTPResponse:
        """One request, sent once; headers are named with underscores."""
        signed = person.headers if person else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, path, headers=signed | named, json=json)

    def make(self, path: str, person: SignedInPlayer | None, json: Any) -> Any:
        """What a create answers."""
        answer = self.ask("POST", path, person, json)
        assert answer.status == 201, answer.data
        return answer.json()

    def hand_in(self, scan: Scan) -> UUID:
        """Send a scan until it is accepted. Raises HTTPError once the load was called off."""
        while True:
            try:
                answer = self.ask("POST", "/scan", scan.player, scan.body())
            except HTTPError:  # the connection was lost, and with it perhaps an answer
                self.cuts += 1
            else:
                self.answers[answer.status] += 1
                if answer.status == 202:
                    return self._remember(scan, UUID(answer.json()["scan_id"]))
                assert_try_again(answer)
            if self._giving_up.wait(RETRY_SECONDS):
                raise HTTPError("called off")

    def _remember(self, scan: Scan, scan_id: UUID) -> UUID:
        first = self.accepted.setdefault((scan.player.id, scan.nonce), scan_id)
        assert first == scan_id, "one nonce, two scans"
        return scan_id

    @contextmanager
    def under_way(self, scans: Iterable[Scan]) -> Iterator[None]:
        """Hand these in from several threads while the body runs; at its end all of them are accepted."""
        with ThreadPoolExecutor(self.threads) as pool:
            handed_in = [pool.submit(self.hand_in, scan) for scan in scans]
            try:
                yield
                for future in handed_in:
                    future.result(PATIENCE)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
                self._giving_up.set()
        self._giving_up.clear()

    def hand_in_all(self, scans: Iterable[Scan]) -> None:
        with self.under_way(scans):
            pass

    def until_accepted(self, more: int) -> None:
        """Return once `more` further scans are accepted."""
        enough = len(self.accepted) + more
        eventually(lambda: len(self.accepted) >= enough)

    def until_refused(self) -> None:
        """Return when one more scan has been answered with 503."""
        before = self.answers[503]
        eventually(lambda: self.answers[503] > before)


def assert_try_again(answer: urllib3.BaseHTTPResponse) -> None:
    """Assert that the response is the one for an unavailable store."""
    assert answer.status == 503, answer.data
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"].isdigit()


@dataclass(frozen=True)
class Game:
    """An organization with codes of every kind of limit, and players for them."""

    org_id: UUID
    owner: SignedInPlayer
    players: Sequence[SignedInPlayer]
    codes: dict[str, str]
    """What was printed, by what is special about the code."""

    def scans(self, count: int, seed: int = 1) -> list[Scan]:
        """Scans of every code; every tenth is sent twice, as by a client that lost the first answer."""
        dice = random.Random(seed)
        traveller, *others = self.players
        made: list[Scan] = []
        while len(made) < count:
            special = dice.choice(tuple(self.codes))
            if dice.random() < 0.1 and made:
                made.append(dice.choice(made))
            elif special == "here":
                made.append(
                    Scan(dice.choice(others), self.codes[special], dice.choice([AMSTERDAM, SIX_KILOMETERS_OFF]))
                )
            elif special == "open" and dice.random() < 0.1:
                made.append(Scan(traveller, self.codes[special], dice.choice([AMSTERDAM, LISBON])))
            else:
                made.append(Scan(dice.choice(others), self.codes[special], dice.choice([None, AMSTERDAM])))
        return made


SPECIALS: dict[str, dict[str, Any]] = {
    "open": {"per_player_limit": None, "reward": {"item": "gem", "quantity": 2}},
    "once": {"reward": {"item": "key", "quantity": 1}},
    "thrice": {"per_player_limit": 3},
    "few": {"per_player_limit": None, "max_scans": 25, "reward": {"item": "map", "quantity": 1}},
    "here": {"requires_location": True, "latitude": AMSTERDAM.latitude, "longitude": AMSTERDAM.longitude},
}


def register(load: Load) -> SignedInPlayer:
    """A player by name and password, over HTTP."""
    account = load.make(
        "/auth/register", None, {"username": f"p{uuid4().hex[:12]}", "password": "correct horse battery"}
    )
    return SignedInPlayer(UUID(account["player_id"]), UUID(int=0), account["access_token"], account["refresh_token"])


def make_game(load: Load, owner: SignedInPlayer, players: Sequence[SignedInPlayer]) -> Game:
    """Over HTTP, as staff would."""
    org_id = load.make("/api/organizations", owner, {"name": "Faults"})["id"]
    codes = {special: make_code(load, owner, org_id, **fields) for special, fields in SPECIALS.items()}
    return Game(UUID(org_id), owner, players, codes | {"unknown": "no-such-code"})


def make_code(load: Load, owner: SignedInPlayer, org_id: UUID | str, **fields: Any) -> str:
    """An item drop; the code that is printed."""
    made = load.make(f"/api/organizations/{org_id}/qr-codes", owner, {"scan_type": "item_drop"} | fields)
    return str(made["code"])
