"""The result of a benchmark as a table: the figures of Waymark and of its rival, their ratio and the goal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median, quantiles
from typing import Literal, Self

HEADINGS = ("", "Waymark", "rival", "ratio", "goal", "met")

Round = tuple[float, float]
"""The figures of Waymark and of the rival in one round."""


@dataclass(frozen=True)
class Figure:
    """One comparison. The goal is a bound on Waymark's figure divided by the rival's, or None for information.

    `rounds` has the repetitions of the measurement. It is empty if there was only one.
    """

    name: str
    unit: str
    waymark: float
    rival: float
    bound: Literal["≥", "≤"]
    goal: float | None
    rounds: tuple[Round, ...] = ()

    @classmethod
    def of_rounds(
        cls, name: str, unit: str, rounds: Iterable[Round], bound: Literal["≥", "≤"], goal: float | None
    ) -> Self:
        """Return the figure of both sides' medians."""
        rounds = tuple(rounds)
        waymark, rival = (median(side) for side in zip(*rounds, strict=True))
        return cls(name, unit, waymark, rival, bound, goal, rounds)

    @classmethod
    def of_pairs(
        cls, name: str, unit: str, rounds: Iterable[Round], bound: Literal["≥", "≤"], goal: float | None
    ) -> Self:
        """Return the figure whose ratio is the median of the rounds' ratios. Slow rounds of both sides do not count."""
        rounds = tuple(rounds)
        rival = median(other for _, other in rounds)
        return cls(name, unit, rival * median(one / other for one, other in rounds), rival, bound, goal, rounds)

    @classmethod
    def of_latencies(
        cls,
        name: str,
        percent: int,
        waymark: Sequence[Sequence[float]],
        rival: Sequence[Sequence[float]],
        bound: Literal["≥", "≤"],
        goal: float | None,
    ) -> Self:
        """Return the figure of a percentile in ms over all rounds. Each round has at least two latencies in seconds."""
        rounds = [
            (percentile(one, percent), percentile(other, percent)) for one, other in zip(waymark, rival, strict=True)
        ]
        all_waymark, all_rival = (percentile([*chain.from_iterable(side)], percent) for side in (waymark, rival))
        return cls(f"{name}, p{percent}", "ms", all_waymark, all_rival, bound, goal, tuple(rounds))

    @property
    def ratio(self) -> float:
        return self.waymark / self.rival

    @property
    def is_met(self) -> bool:
        if self.goal is None:
            return True
        return self.ratio >= self.goal if self.bound == "≥" else self.ratio <= self.goal

    def cells(self) -> tuple[str, ...]:
        """Return a line of the table."""
        values = [f"{value:,.0f}" if value >= 100 else f"{value:.1f}" for value in (self.waymark, self.rival)]
        return (
            f"{self.name}, {self.unit}",
            *values,
            format_ratio(self.ratio),
            "" if self.goal is None else f"{self.bound} {format_ratio(self.goal)}",
            "" if self.goal is None else "yes" if self.is_met else "NO",
        )


@dataclass(frozen=True)
class Table:
    """The figures of one benchmark, and whether its goals other than ratios were met."""

    title: str
    figures: Sequence[Figure]
    other_goals_met: bool = True

    @property
    def is_met(self) -> bool:
        return self.other_goals_met and all(figure.is_met for figure in self.figures)


def percentile(seconds: Sequence[float], percent: int) -> float:
    """Return a percentile from 1 to 99 in milliseconds."""
    return 1_000 * quantiles(seconds, n=100, method="inclusive")[percent - 1]


def format_ratio(value: float) -> str:
    """Return a small ratio as a fraction, such as 1/10.0, and any other with two decimals."""
    return f"1/{1 / value:.1f}" if 0 < value < 0.5 else f"{value:.2f}"


def print_table(title: str, note: str, lines: Sequence[Sequence[str]]) -> None:
    """Print lines of equal length, the first of which has the headings. The first column is aligned to the left."""
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    print(f"\n{title}\n{note}")
    for name, *cells in lines:
        print("  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))]))
