"""The tests that the bench compares logins by: they see a difference, and none where there is none."""

from random import Random

import pytest

from bench.distributions import kolmogorov_smirnov, mann_whitney

TESTS = pytest.mark.parametrize("test", [mann_whitney, kolmogorov_smirnov])


@TESTS
def test_samples_of_one_distribution_rarely_differ(test: object) -> None:
    assert callable(test)
    dice = Random(0)
    low = sum(
        test([dice.gauss(0, 1) for _ in range(200)], [dice.gauss(0, 1) for _ in range(200)]) < 0.05 for _ in range(200)
    )
    assert low <= 20  # ten are expected


@TESTS
def test_a_shift_of_a_third_of_a_deviation_is_seen(test: object) -> None:
    assert callable(test)
    dice = Random(0)
    assert test([dice.gauss(0, 1) for _ in range(500)], [dice.gauss(0.33, 1) for _ in range(500)]) < 0.001


def test_known_values() -> None:
    """As R's wilcox.test(exact = FALSE) and SciPy's ks_2samp(method="asymp") give them, to a few percent."""
    ones, others = [1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]
    assert mann_whitney(ones, others) == pytest.approx(0.01219, abs=1e-4)
    assert mann_whitney(ones, ones) == pytest.approx(1.0)
    assert kolmogorov_smirnov(ones, ones) == 1.0


def test_a_different_spread_is_seen_by_one_of_them() -> None:
    dice = Random(0)
    narrow, wide = [dice.gauss(0, 1) for _ in range(500)], [dice.gauss(0, 2) for _ in range(500)]
    assert kolmogorov_smirnov(narrow, wide) < 0.001
