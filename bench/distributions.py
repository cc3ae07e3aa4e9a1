"""Whether two samples could be of one distribution: two-sided tests without a shape assumed."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from math import erfc, exp, sqrt


def mann_whitney(ones: Sequence[float], others: Sequence[float]) -> float:
    """The p-value of the Mann-Whitney U test, by its normal approximation with ties corrected: is one side larger?"""
    n, m = len(ones), len(others)
    counts, below, ranks = Counter([*ones, *others]), 0, dict[float, float]()
    for value in sorted(counts):
        ranks[value] = below + (counts[value] + 1) / 2
        below += counts[value]
    u = sum(ranks[value] for value in ones) - n * (n + 1) / 2
    ties = sum(count**3 - count for count in counts.values()) / ((n + m) * (n + m - 1))
    deviation = sqrt(n * m / 12 * (n + m + 1 - ties))
    return erfc(max(0.0, abs(u - n * m / 2) - 0.5) / deviation / sqrt(2)) if deviation else 1.0


def kolmogorov_smirnov(ones: Sequence[float], others: Sequence[float]) -> float:
    """The p-value of the two-sample Kolmogorov-Smirnov test, by its asymptotic distribution: is any part different?"""
    ones, others = sorted(ones), sorted(others)
    distance = max(
        abs(bisect_right(ones, value) / len(ones) - bisect_right(others, value) / len(others))
        for value in (*ones, *others)
    )
    size = sqrt(len(ones) * len(others) / (len(ones) + len(others)))
    reach = (size + 0.12 + 0.11 / size) * distance  # Stephens' correction
    if reach < 0.2:
        return 1.0
    return min(1.0, 2 * sum(exp(-2 * (k * reach) ** 2) * (1 if k % 2 else -1) for k in range(1, 101)))
