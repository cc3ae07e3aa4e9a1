"""Travel of a player between a location fix and a scan. Pure."""

from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from shared.scans.geodesic import distance_m
from shared.scans.model import ONLINE_DELAY, Coordinates, JudgingLimits, LocationFix, Scan

GPS_JITTER_M = 1_000
"""Two fixes of a phone at rest can differ by tens of meters. Shorter distances than this never count as travel."""
MAX_METERS_PER_DEGREE = 111_700
"""The longest degree of the ellipsoid: of latitude at a pole, of longitude at the equator."""
MAX_DISTANCE_M = 20_004_000
"""No two points of the ellipsoid are further apart: half a meridian."""
MAX_TRAVEL_DAYS = 3_650
ZERO = timedelta()


class TravelLeg(NamedTuple):
    """The way between a location fix and the scan: the least meters that both accuracies allow, and the seconds."""

    min_distance_m: float
    seconds: float
    accuracy_m: float
    org_id: UUID | None

    def is_faster_than(self, max_mps: float) -> bool:
        """True if the leg takes more than that speed and is longer than GPS jitter."""
        return self.min_distance_m > GPS_JITTER_M and self.min_distance_m > max_mps * self.seconds


def distance_between(a: Coordinates, b: Coordinates) -> float:
    """Return the geodesic distance in meters."""
    return distance_m(a.latitude, a.longitude, b.latitude, b.longitude)


def position_lifetime(limits: JudgingLimits) -> timedelta:
    """Return how long after a scan its position can decide about the travel of another scan.

    The other one may arrive late by the limit of the installation. From its time on, the player can be anywhere once
    the longest distance is covered.
    """
    longest = timedelta(seconds=min(MAX_DISTANCE_M / limits.max_speed_mps, MAX_TRAVEL_DAYS * 86_400))
    return limits.max_age + longest + ONLINE_DELAY


def leg_from(fix: LocationFix, scan: Scan, here: Coordinates, max_accuracy_m: float) -> TravelLeg:
    """Return the leg between a fix and a scan at `here`, in either direction of time."""
    # A client can claim any accuracy, so it counts up to the limit of the installation.
    accuracy = min(scan.accuracy_m or 0.0, max_accuracy_m) + min(fix.accuracy_m or 0.0, max_accuracy_m)
    elapsed = scan.scan_time - fix.at
    if elapsed < ZERO:
        elapsed = -elapsed
        # The scan is dated before a fix that was submitted online, so the phone could have submitted the scan then.
        # Only the client's clock says otherwise: the server's clock counts too.
        if fix.received_at is not None and fix.received_at - fix.at <= ONLINE_DELAY:
            elapsed = min(elapsed, abs(scan.received_at - fix.received_at))
    distance = distance_between(fix.coordinates, here)
    return TravelLeg(distance - accuracy, elapsed.total_seconds(), accuracy, fix.org_id)


def is_within_jitter(a: Coordinates, b: Coordinates) -> bool:
    """True if the points are certainly within GPS jitter. A cheap upper bound: first along a meridian, then east."""
    return MAX_METERS_PER_DEGREE * (abs(a.latitude - b.latitude) + abs(a.longitude - b.longitude)) <= GPS_JITTER_M
