"""Geodesic distance, compared with geographiclib."""

import pytest
from geographiclib.geodesic import Geodesic
from hypothesis import example, given
from hypothesis import strategies as st

from shared.scans.geodesic import distance_m

latitudes, longitudes = st.floats(-90, 90), st.floats(-180, 180)


@given(latitudes, longitudes, latitudes, longitudes)
@example(0, 0, 0.5, 179.7)  # nearly antipodal: Vincenty's method does not converge
@example(0, 0, 0, 180)
@example(90, 0, -90, 0)
@example(0, 0, 0, 1)  # along the equator
@example(0, 179.9999, 0, -179.9999)
def test_distance_equals_geographiclib(lat1: float, lon1: float, lat2: float, lon2: float) -> None:
    expected = Geodesic.WGS84.Inverse(lat1, lon1, lat2, lon2)["s12"]
    assert distance_m(lat1, lon1, lat2, lon2) == pytest.approx(expected, abs=0.001)


@given(latitudes, longitudes, st.floats(-0.001, 0.001), st.floats(-0.001, 0.001))
def test_short_distance_equals_geographiclib(lat: float, lon: float, dlat: float, dlon: float) -> None:
    lat2 = max(-90.0, min(90.0, lat + dlat))
    expected = Geodesic.WGS84.Inverse(lat, lon, lat2, lon + dlon)["s12"]
    assert distance_m(lat, lon, lat2, lon + dlon) == pytest.approx(expected, abs=0.001)
