"""Distance on the WGS 84 ellipsoid: Vincenty's inverse method (Survey Review XXIII, 1975), exact to half a millimeter.

Vincenty takes a few microseconds. geographiclib (Karney 2013), pure Python as well, takes a hundred.
Vincenty does not converge for nearly antipodal points. For these, geographiclib computes the distance.
"""

from math import atan, atan2, cos, radians, sin, sqrt, tan

from geographiclib.geodesic import Geodesic

A = 6_378_137.0  # equatorial radius, meters
F = 1 / 298.257223563  # flattening
B = A * (1 - F)  # polar radius, meters
MAX_ITERATIONS = 20


def distance_m(latitude1: float, longitude1: float, latitude2: float, longitude2: float) -> float:
    """Return the meters between two points given in degrees."""
    span = radians((longitude2 - longitude1 + 540) % 360 - 180)
    reduced1, reduced2 = atan((1 - F) * tan(radians(latitude1))), atan((1 - F) * tan(radians(latitude2)))
    sin1, cos1, sin2, cos2 = sin(reduced1), cos(reduced1), sin(reduced2), cos(reduced2)

    # The difference in longitude on the auxiliary sphere.
    lam = span
    for _ in range(MAX_ITERATIONS):
        sin_lam, cos_lam = sin(lam), cos(lam)
        sin_sigma = sqrt((cos2 * sin_lam) ** 2 + (cos1 * sin2 - sin1 * cos2 * cos_lam) ** 2)
        if sin_sigma == 0:
            return 0.0
        cos_sigma = sin1 * sin2 + cos1 * cos2 * cos_lam
        sigma = atan2(sin_sigma, cos_sigma)
        sin_alpha = cos1 * cos2 * sin_lam / sin_sigma
        cos2_alpha = 1 - sin_alpha**2
        cos_2m = cos_sigma - 2 * sin1 * sin2 / cos2_alpha if cos2_alpha > 1e-12 else 0.0  # 0 along the equator
        c = F / 16 * cos2_alpha * (4 + F * (4 - 3 * cos2_alpha))
        previous = lam
        lam = span + (1 - c) * F * sin_alpha * (sigma + c * sin_sigma * (cos_2m + c * cos_sigma * (2 * cos_2m**2 - 1)))
        if abs(lam - previous) < 1e-12:
            break
    else:
        return float(Geodesic.WGS84.Inverse(latitude1, longitude1, latitude2, longitude2, Geodesic.DISTANCE)["s12"])

    u2 = cos2_alpha * (A**2 - B**2) / B**2
    a = 1 + u2 / 16384 * (4096 + u2 * (-768 + u2 * (320 - 175 * u2)))
    b = u2 / 1024 * (256 + u2 * (-128 + u2 * (74 - 47 * u2)))
    delta_sigma = (
        b
        * sin_sigma
        * (
            cos_2m
            + b / 4 * (cos_sigma * (2 * cos_2m**2 - 1) - b / 6 * cos_2m * (4 * sin_sigma**2 - 3) * (4 * cos_2m**2 - 3))
        )
    )
    return B * a * (sigma - delta_sigma)
