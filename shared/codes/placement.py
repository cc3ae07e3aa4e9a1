"""The place of a code from location fixes of the phone that is used to install it. Pure.

The fixes are projected onto a plane around their center, with true distances from it (azimuthal equidistant projection,
Snyder, USGS Professional Paper 1395, chapter 25). So the date line and the poles are no special cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, ceil, cos, degrees, hypot, pi, radians, sin, sqrt
from statistics import median

from shared.errors import FieldError, Invalid

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius (IUGG). Within the radius of a code, the error of a sphere is below 0.6 %."""
MAX_ACCURACY_M = 25_000
"""Half of the largest radius of a code."""
DECIMALS = 7
"""Of degrees: a centimeter."""

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class LocationFix:
    """A position in degrees, and its accuracy: the radius in meters that contains it with 68 % confidence."""

    latitude: float
    longitude: float
    accuracy: float


def locate(fixes: Sequence[LocationFix]) -> LocationFix:
    """Return the median of the fixes.

    Its accuracy is the median of their accuracies, or the median distance from it if that is larger. Raise Invalid if
    no code has a radius that is twice as large.
    """
    center = _center(fixes)
    points = [_project(center, _to_vector(fix.latitude, fix.longitude)) for fix in fixes]
    x, y = median(x for x, _ in points), median(y for _, y in points)
    spread = median(hypot(x - each_x, y - each_y) for each_x, each_y in points)
    accuracy_m = round(max(spread, median(fix.accuracy for fix in fixes)), 1)
    if accuracy_m > MAX_ACCURACY_M:
        message = f"Together, these fixes are accurate to {accuracy_m:,} m. The limit is {MAX_ACCURACY_M:,} m."
        raise Invalid(FieldError("body.fixes", message))
    return LocationFix(*_unproject(center, x, y), accuracy_m)


def widen(radius_m: float, accuracy_m: float) -> float:
    """Return the radius, or twice the accuracy of the place if that is larger."""
    return max(radius_m, float(ceil(2 * accuracy_m)))


def _center(fixes: Sequence[LocationFix]) -> Vector:
    """Return the direction of the mean of the fixes. Any fix is a center of fixes that have none."""
    vectors = [_to_vector(fix.latitude, fix.longitude) for fix in fixes]
    x, y, z = (sum(axis) for axis in zip(*vectors, strict=True))
    length = sqrt(x * x + y * y + z * z)
    return (x / length, y / length, z / length) if length > 1e-6 else vectors[0]


def _to_vector(latitude: float, longitude: float) -> Vector:
    phi, lam = radians(latitude), radians(longitude)
    return cos(phi) * cos(lam), cos(phi) * sin(lam), sin(phi)


def _axes(center: Vector) -> tuple[Vector, Vector]:
    """Return the directions east and north at the center. At a pole, east is that of longitude 0."""
    cx, cy, cz = center
    lam = atan2(cy, cx)
    return (-sin(lam), cos(lam), 0.0), (-cz * cos(lam), -cz * sin(lam), hypot(cx, cy))


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _project(center: Vector, point: Vector) -> tuple[float, float]:
    """Return the meters east and north of the center."""
    east, north = _axes(center)
    x, y = _dot(east, point), _dot(north, point)
    sine = hypot(x, y)
    angle = atan2(sine, _dot(center, point))
    if sine == 0:
        return angle * EARTH_RADIUS_M, 0.0
    return angle * EARTH_RADIUS_M * x / sine, angle * EARTH_RADIUS_M * y / sine


def _unproject(center: Vector, x: float, y: float) -> tuple[float, float]:
    """Return the latitude and longitude of a point in meters east and north of the center."""
    east, north = _axes(center)
    distance = hypot(x, y)
    angle = min(distance / EARTH_RADIUS_M, pi)
    dx, dy = (x / distance, y / distance) if distance else (0.0, 0.0)
    px, py, pz = (cos(angle) * c + sin(angle) * (dx * e + dy * n) for c, e, n in zip(center, east, north, strict=True))
    # Plus zero, because a zero may be negative.
    latitude, longitude = degrees(atan2(pz, hypot(px, py))), degrees(atan2(py, px))
    return round(latitude, DECIMALS) + 0.0, round(longitude, DECIMALS) + 0.0
