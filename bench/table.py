"""What a benchmark found, as a table: ours, the rival's, the ratio between them, the goal, and whether it was met."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HEADINGS = ("", "ours", "rival", "ratio", "goal", "met")


@dataclass(frozen=True)
class Figure:
    """One comparison. The goal is a bound on ours divided by the rival's."""

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
        """A line of the table. Small ratios are told as the fraction they are of the rival's."""
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
