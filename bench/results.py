"""Results of a run as JSON, and the comparison of two runs.

A run is compared by its ratios to the rivals, because both sides of a ratio meet the same machine. The noise of a
figure is the distance from its median round to its best round. A figure became slower if its ratio is worse by more
than the noise of both runs together, and by more than 5 %.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Literal, Self

from bench.machine import Machine
from bench.table import Figure, Table, format_ratio, print_table

DIRECTORY = Path(__file__).with_name("results")
FORMAT = 1
MIN_NOISE = 0.05
NOISE_OF_ONE_ROUND = 0.10
"""The noise of a figure that is measured once in a run."""


class UnreadableResults(Exception):
    """The file does not contain results of `script/bench` that can be compared with this run."""


@dataclass
class Run:
    """The tables of a run and the duration of each benchmark in seconds."""

    machine: Machine
    scale: float = 1.0
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: dict[str, float] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)

    @property
    def default_path(self) -> Path:
        return DIRECTORY / f"{self.at:%Y-%m-%dT%H%M%SZ}.json"

    def write(self, path: Path) -> None:
        """Write the results, also those of an unfinished run. The directory is created."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_json(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def as_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "at": self.at.isoformat(timespec="seconds"),
            "scale": self.scale,
            "machine": asdict(self.machine),
            "seconds": {name: round(seconds, 1) for name, seconds in self.seconds.items()},
            "tables": [
                {
                    "title": table.title,
                    "is_met": table.is_met,
                    "figures": [
                        asdict(figure) | {"ratio": figure.ratio, "is_met": figure.is_met} for figure in table.figures
                    ],
                }
                for table in self.tables
            ],
        }


@dataclass(frozen=True)
class Baseline:
    """The figures of an earlier run, by table and name."""

    scale: float
    figures: Mapping[tuple[str, str], Figure]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raise UnreadableResults if the file is missing or has another format."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise UnreadableResults(f"{path} has format {content['format']}, not {FORMAT}.")
            return cls(
                content["scale"],
                {
                    (table["title"], figure["name"]): _figure(figure)
                    for table in content["tables"]
                    for figure in table["figures"]
                },
            )
        except OSError as error:
            raise UnreadableResults(f"{path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise UnreadableResults(f"{path} does not contain results of script/bench.") from error


def _figure(content: Mapping[str, Any]) -> Figure:
    rounds = tuple((float(waymark), float(rival)) for waymark, rival in content["rounds"])
    values = {name: content[name] for name in ("name", "unit", "waymark", "rival", "bound", "goal")}
    return Figure(**values, rounds=rounds)


@dataclass(frozen=True)
class Change:
    """A figure in two runs. `slowdown` is 0.5 if the later run takes 1.5 times as long, negative if it is faster."""

    title: str
    name: str
    ratio_before: float
    ratio_now: float
    slowdown: float
    noise: float

    @property
    def is_slower(self) -> bool:
        return self.slowdown > self.noise

    def cells(self) -> tuple[str, ...]:
        ratios = (format_ratio(self.ratio_before), format_ratio(self.ratio_now))
        return f"{self.title}: {self.name}", *ratios, f"{self.slowdown:+.0%}", f"{self.noise:.0%}"


def compare(baseline: Baseline, tables: Iterable[Table]) -> list[Change]:
    """Return the change of every figure that both runs have."""
    return [
        change(table.title, before, figure)
        for table in tables
        for figure in table.figures
        if (before := baseline.figures.get((table.title, figure.name)))
    ]


def change(title: str, before: Figure, now: Figure) -> Change:
    noise = max(MIN_NOISE, noise_of(before) + noise_of(now))
    return Change(title, now.name, before.ratio, now.ratio, _slowdown(now.bound, before.ratio, now.ratio), noise)


def noise_of(figure: Figure) -> float:
    """Return how much worse the median round is than the best round, as a share."""
    if len(figure.rounds) < 2:
        return NOISE_OF_ONE_ROUND
    ratios = [waymark / rival for waymark, rival in figure.rounds]
    best = max(ratios) if figure.bound == "≥" else min(ratios)
    return _slowdown(figure.bound, best, median(ratios))


def _slowdown(bound: Literal["≥", "≤"], before: float, now: float) -> float:
    return (before / now if bound == "≥" else now / before) - 1


def print_changes(path: Path, changes: list[Change]) -> None:
    """Print the figures that became slower, or that there are none."""
    if not changes:
        print(f"\n{path} has no figure of this run: nothing was compared.")
        return
    slower = [each for each in changes if each.is_slower]
    if not slower:
        print(f"\nNone of {len(changes)} figures became slower than in {path} by more than the noise.")
        return
    lines = [("", "ratio before", "ratio now", "slower by", "noise"), *(each.cells() for each in slower)]
    print_table("Slower", f"{len(slower)} of {len(changes)} figures, compared with {path}", lines)
