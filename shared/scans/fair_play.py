"""Fair-play rules of an organization: identical coordinates, bursts and late scans. Off by default. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

MAX_WINDOW_SECONDS = 30 * 86_400


@dataclass(frozen=True)
class IdenticalCoordinates:
    """Hold a scan if at least `players` players, its own included, scanned at identical coordinates in the window.

    Scans by API keys, as of a kiosk that never moves, are compared only with each other, and only if `api_keys`.
    """

    window: timedelta
    players: int = 2
    api_keys: bool = False


@dataclass(frozen=True)
class Burst:
    """Hold a scan if the window before or after it already has this many scans of its player, or of its code."""

    window: timedelta
    per_player: int | None = None
    per_code: int | None = None


@dataclass(frozen=True)
class Late:
    """Hold a scan that arrives later than `after` its own time."""

    after: timedelta


@dataclass(frozen=True)
class FairPlay:
    """The rules that an organization has switched on."""

    identical_coordinates: IdenticalCoordinates | None = None
    burst: Burst | None = None
    late: Late | None = None

    @classmethod
    def read(cls, stored: Mapping[str, Any] | None) -> "FairPlay":
        """Return the rules stored in `organizations.fair_play`. A rule that is null or absent is off."""
        identical, burst, late = ((stored or {}).get(name) for name in ("identical_coordinates", "burst", "late"))
        return cls(
            identical
            and IdenticalCoordinates(
                timedelta(seconds=identical["window_seconds"]), identical["players"], identical.get("api_keys", False)
            ),
            burst and Burst(timedelta(seconds=burst["window_seconds"]), burst["per_player"], burst["per_code"]),
            late and Late(timedelta(seconds=late["after_seconds"])),
        )


NO_FAIR_PLAY = FairPlay()


@dataclass(frozen=True)
class NearbyActivity:
    """Counted scans around one scan, without that scan, as far as the rules of its organization look."""

    colocated_players: frozenset[UUID] = frozenset()
    """Other players at identical coordinates."""
    player_before: int = 0
    player_after: int = 0
    code_before: int = 0
    code_after: int = 0

    @property
    def player_scans(self) -> int:
        """Return the player's scans in the busier of the two windows: a late scan can be part of a burst too."""
        return max(self.player_before, self.player_after)

    @property
    def code_scans(self) -> int:
        return max(self.code_before, self.code_after)


NO_ACTIVITY = NearbyActivity()


class Activity(NamedTuple):
    """A counted scan as the fair-play rules compare it."""

    at: datetime
    player_id: UUID
    code_id: UUID
    org_id: UUID
    coordinates: object
    """None, or the coordinates and whether an API key submitted them."""


@dataclass
class BatchActivity:
    """Scans of the current batch that already count, for the scans judged after them."""

    _by_coordinates: dict[object, list[Activity]] = field(default_factory=lambda: defaultdict(list))
    _by_player: dict[object, list[Activity]] = field(default_factory=lambda: defaultdict(list))
    _by_code: dict[object, list[Activity]] = field(default_factory=lambda: defaultdict(list))

    def add(self, scan: Activity) -> None:
        self._by_coordinates[scan.org_id, scan.coordinates].append(scan)
        self._by_player[scan.org_id, scan.player_id].append(scan)
        self._by_code[scan.code_id].append(scan)

    def activity_around(self, scan: Activity, fair_play: FairPlay, stored: NearbyActivity) -> NearbyActivity:
        """Return `stored`, the activity before this batch, plus the activity of this batch."""
        if (identical := fair_play.identical_coordinates) and scan.coordinates is not None:
            others = self._by_coordinates.get((scan.org_id, scan.coordinates), ())
            players = {other.player_id for other in others if abs(other.at - scan.at) < identical.window}
            stored = replace(stored, colocated_players=stored.colocated_players | players - {scan.player_id})
        if burst := fair_play.burst:
            own_scans = self._by_player.get((scan.org_id, scan.player_id), ())
            player_before, player_after = _count_windows(own_scans, scan.at, burst.window)
            code_before, code_after = _count_windows(self._by_code.get(scan.code_id, ()), scan.at, burst.window)
            stored = replace(
                stored,
                player_before=stored.player_before + player_before,
                player_after=stored.player_after + player_after,
                code_before=stored.code_before + code_before,
                code_after=stored.code_after + code_after,
            )
        return stored


def _count_windows(scans: Iterable[Activity], at: datetime, window: timedelta) -> tuple[int, int]:
    """Count scans in the window that ends at `at` and in the one that starts there. A scan at `at` is in both."""
    times = [scan.at for scan in scans]
    return sum(at - window < time <= at for time in times), sum(at <= time < at + window for time in times)
