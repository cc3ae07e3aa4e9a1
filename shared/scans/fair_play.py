"""What an organization may ask beyond proof of presence: that players do not share coordinates, nor scan in bursts.

Off by default. Pure: settings as they are stored, and how much of a crowd stands around one scan.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

MAX_WINDOW_SECONDS = 30 * 86_400


@dataclass(frozen=True)
class IdenticalCoordinates:
    """Held: a scan with which so many players, its own one among them, were at the same position to the last digit."""

    window: timedelta
    players: int = 2


@dataclass(frozen=True)
class Burst:
    """Held: a scan before or after which the window has as many of the player's, or the code's, as are allowed."""

    window: timedelta
    per_player: int | None = None
    per_code: int | None = None


@dataclass(frozen=True)
class FairPlay:
    """The rules that an organization has switched on."""

    identical_coordinates: IdenticalCoordinates | None = None
    burst: Burst | None = None

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> "FairPlay":
        """As the organization's row has it: windows in seconds, what is off null or absent."""
        same, burst = ((stored or {}).get(name) for name in ("identical_coordinates", "burst"))
        return cls(
            same and IdenticalCoordinates(timedelta(seconds=same["window_seconds"]), same["players"]),
            burst and Burst(timedelta(seconds=burst["window_seconds"]), burst["per_player"], burst["per_code"]),
        )


NO_FAIR_PLAY = FairPlay()


@dataclass(frozen=True)
class NearbyActivity:
    """What counted around one scan, as far as its organization's rules look: never the scan itself."""

    colocated_players: frozenset[UUID] = frozenset()
    """Other players at the very same coordinates."""
    player_before: int = 0
    player_after: int = 0
    code_before: int = 0
    code_after: int = 0

    @property
    def player_scans(self) -> int:
        """The player's scans, in the window before or the one after, whichever has more: a scan that is handed in
        late is part of a burst as much as one in time."""
        return max(self.player_before, self.player_after)

    @property
    def code_scans(self) -> int:
        return max(self.code_before, self.code_after)


NO_ACTIVITY = NearbyActivity()


class Activity(NamedTuple):
    """A scan as it joins a crowd."""

    at: datetime
    player_id: UUID
    code_id: UUID
    org_id: UUID
    coordinates: object


@dataclass
class BatchActivity:
    """The scans of one batch that counted, as those judged after them see them."""

    _places: dict[object, list[Activity]] = field(default_factory=lambda: defaultdict(list))
    _players: dict[object, list[Activity]] = field(default_factory=lambda: defaultdict(list))
    _codes: dict[object, list[Activity]] = field(default_factory=lambda: defaultdict(list))

    def add(self, seen: Activity) -> None:
        self._places[seen.org_id, seen.coordinates].append(seen)
        self._players[seen.org_id, seen.player_id].append(seen)
        self._codes[seen.code_id].append(seen)

    def activity_around(self, seen: Activity, asked: FairPlay, stored: NearbyActivity) -> NearbyActivity:
        """The crowd around a scan: what was stored before this batch, and what this batch has added."""
        if (same := asked.identical_coordinates) and seen.coordinates is not None:
            near = self._places.get((seen.org_id, seen.coordinates), ())
            players = {other.player_id for other in near if abs(other.at - seen.at) < same.window}
            stored = replace(stored, colocated_players=stored.colocated_players | players - {seen.player_id})
        if burst := asked.burst:
            before, after = _count_windows(self._players.get((seen.org_id, seen.player_id), ()), seen.at, burst.window)
            code_before, code_after = _count_windows(self._codes.get(seen.code_id, ()), seen.at, burst.window)
            stored = replace(
                stored,
                player_before=stored.player_before + before,
                player_after=stored.player_after + after,
                code_before=stored.code_before + code_before,
                code_after=stored.code_after + code_after,
            )
        return stored


def _count_windows(others: Iterable[Activity], at: datetime, window: timedelta) -> tuple[int, int]:
    """How many lie in the window that ends here, and in the one that begins here. At the same moment: in both."""
    times = [other.at for other in others]
    return sum(at - window < time <= at for time in times), sum(at <= time < at + window for time in times)
