"""The results of a benchmark as a table: both figures, their ratio, the goal, and whether it was met."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HEADINGS = ("", "ours", "rival", "ratio", "goal", "met")


@dataclass(frozen=True)
class Figure:
    """One comparison. The goal is a bound on Waymark's figure divided by the rival's."""

    name: str
    unit: str
    ours: float
    rival: float
    bound: Literal["≥", "≤"]
    goal: float

    @property
    def ratio(self) -> float:
        return self.ours / self.rival

    @property
    def is_met(self) -> bool:
        return self.ratio >= self.goal if self.bound == "≥" else self.ratio <= self.goal

    def cells(self) -> tuple[str, ...]:
        """Return a line of the table. A small ratio is printed as a fraction."""
        told = [f"{value:,.0f}" if value >= 100 else f"{value:.1f}" for value in (self.ours, self.rival)]
        return (
            f"{self.name}, {self.unit}",
            *told,
            _ratio(self.ratio),
            f"{self.bound} {_ratio(self.goal)}",
            "yes" if self.is_met else "NO",
        )


def _ratio(value: float) -> str:
    return f"1/{1 / value:.1f}" if value < 0.5 else f"{value:.2f}"


def show(title: str, figures: Sequence[Figure]) -> bool:
    """Print the table; whether every goal was met."""
    lines = [HEADINGS, *(figure.cells() for figure in figures)]
    first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
    print(f"\n{title}")
    for name, *cells in lines:
        print("  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))]))
    return all(figure.is_met for figure in figures)
