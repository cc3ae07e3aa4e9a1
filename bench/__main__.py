"""`python -m bench`: measure the machine, then run benchmarks. `script/bench --help` lists the options."""

import argparse
import signal
import sys
import time
from pathlib import Path

from bench import machine, results
from bench.own_process import exit_on_sigterm, run_in_own_process
from bench.results import Baseline, Run, UnreadableResults
from bench.table import HEADINGS, Table, print_table

BENCHES = (
    "scans",
    "scale",
    "images",
    "renders",
    "timeline",
    "quests",
    "logins",
    "sockets",
    "pages",
    "staff",
    "metrics",
)
"""Each is a module of this package. Its `main(scale)` returns its tables."""


def main(arguments: list[str]) -> int:
    """Return 0 if every goal was met and no figure became slower, 1 if not, and 2 if no benchmark could run."""
    options = parse(arguments)
    exit_on_sigterm()
    try:
        baseline = Baseline.read(options.compare) if options.compare else None
    except UnreadableResults as error:
        print(error, file=sys.stderr)
        return 2
    if baseline and baseline.scale != options.scale:
        print(f"{options.compare} has scale {baseline.scale:g}. Add --scale {baseline.scale:g}.", file=sys.stderr)
        return 2
    busy = machine.busy_percent()
    if problem := machine.busy_problem(busy):
        if not options.anyway:
            print(problem, file=sys.stderr)
            return 2
        print(problem.partition(" Stop")[0], "Ratios are unreliable.", file=sys.stderr)
    try:
        run = Run(machine.measure(busy), options.scale)
        path = options.json or run.default_path
        measure(run, options.names or BENCHES, path)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    is_slower = False
    if baseline:
        changes = results.compare(baseline, run.tables)
        results.print_changes(options.compare, changes)
        is_slower = any(change.is_slower for change in changes)
    return 0 if all(table.is_met for table in run.tables) and not is_slower else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="script/bench", description="Run benchmarks, all or some.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHES)}")
    parser.add_argument("--anyway", action="store_true", help="run on a busy machine too")
    parser.add_argument("--scale", type=float, default=1.0, help="a part of every size, such as 0.1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="results of an earlier run")
    options = parser.parse_intermixed_args(arguments)
    if unknown := [name for name in options.names if name not in BENCHES]:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    if not 0 < options.scale <= 1:
        parser.error("--scale must be above 0 and at most 1")
    return options


def measure(run: Run, names: tuple[str, ...], path: Path) -> None:
    """Run benchmarks one after another. Print the tables of each, and write the results after each."""
    for name in names:
        start = time.perf_counter()
        tables = run_in_own_process(name, run.scale)
        run.seconds[name] = time.perf_counter() - start
        run.tables += tables
        for table in tables:
            show(table, run)
        run.write(path)
        print(f"\n{name}: {run.seconds[name]:.0f} s. Results: {path}")
    if len(names) > 1:
        print(f"All: {sum(run.seconds.values()):.0f} s")


def show(table: Table, run: Run) -> None:
    scale = "" if run.scale == 1 else f"\nScale {run.scale:g}: the goals are for scale 1."
    print_table(table.title, f"{run.machine}{scale}", [HEADINGS, *(figure.cells() for figure in table.figures)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
