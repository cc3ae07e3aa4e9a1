"""The comparison of two runs of benchmarks, and their results as JSON."""

from itertools import chain, count
from pathlib import Path

import pytest

from bench import results
from bench.machine import Machine
from bench.results import Baseline, Run, UnreadableResults
from bench.table import Figure, Table

MACHINE = Machine(cores=2, busy_percent=5.0, commit_ms=1.5, ping_ms=0.1)


def rate(*values: float) -> Figure:
    """A rate beside a rival with 100 a second."""
    return Figure.of_rounds("settled", "scans/s", [(value, 100.0) for value in values], "≥", 1)


def latency(*values: float) -> Figure:
    return Figure.of_rounds("verdict", "ms", [(value, 100.0) for value in values], "≤", 1)


@pytest.mark.parametrize(
    ("before", "now", "is_slower"),
    [
        pytest.param(rate(1000, 1000, 1000), rate(950, 960, 970), False, id="within 5 %"),
        pytest.param(rate(1000, 1000, 1000), rate(930, 930, 930), True, id="7 % without noise"),
        pytest.param(rate(950, 1000, 1050), rate(880, 930, 980), False, id="7 % within the noise"),
        pytest.param(rate(950, 1000, 1050), rate(750, 800, 850), True, id="25 % above the noise"),
        pytest.param(rate(1000, 1000, 1000), rate(2000, 2000, 2000), False, id="faster rate"),
        pytest.param(latency(20, 20, 20), latency(22, 22, 22), True, id="longer latency"),
        pytest.param(latency(18, 20, 30), latency(20, 22, 40), False, id="latency within the noise"),
        pytest.param(latency(20, 20, 20), latency(10, 10, 10), False, id="shorter latency"),
        pytest.param(rate(1000), rate(850), False, id="one round each, 18 %"),
        pytest.param(rate(1000), rate(800), True, id="one round each, 25 %"),
    ],
)
def test_figure_is_slower_if_its_ratio_falls_by_more_than_the_noise(
    before: Figure, now: Figure, is_slower: bool
) -> None:
    assert results.change("Scans", before, now).is_slower == is_slower


def test_slow_outlier_does_not_add_noise() -> None:
    assert results.noise_of(rate(100, 1000, 1000)) == 0
    assert results.noise_of(latency(20, 20, 200)) == 0


def test_slower_machine_does_not_change_a_ratio() -> None:
    halved = Figure.of_rounds("settled", "scans/s", [(500.0, 50.0)] * 3, "≥", 1)
    assert results.change("Scans", rate(1000, 1000, 1000), halved).slowdown == pytest.approx(0)


def test_latencies_give_percentiles_over_all_rounds_and_of_each() -> None:
    steps = count(1)
    waymark, rival = ([[next(steps) / 1000 for _ in range(101)] for _ in range(2)] for _ in range(2))
    figure = Figure.of_latencies("verdict", 50, waymark, rival, "≤", 1)
    assert figure.name == "verdict, p50"
    assert [figure.waymark, figure.rival] == pytest.approx([101.5, 303.5])
    assert [*chain.from_iterable(figure.rounds)] == pytest.approx([51, 253, 152, 354])


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run.json"
    figures = [rate(1000, 990, 1010), latency(20)]
    Run(MACHINE, 0.5, seconds={"scans": 12.3}, tables=[Table("Scans", figures)]).write(path)

    baseline = Baseline.read(path)

    assert baseline.scale == 0.5
    assert baseline.figures == {("Scans", figure.name): figure for figure in figures}
    assert [change.slowdown for change in results.compare(baseline, [Table("Scans", figures)])] == [0, 0]


def test_figures_of_one_run_alone_are_not_compared() -> None:
    baseline = Baseline(1.0, {("Scans", "settled"): rate(1000)})
    assert results.compare(baseline, [Table("Scans", [latency(20)]), Table("Quests", [rate(500)])]) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 0}', '{"format": 1, "scale": 1.0, "tables": [1]}'])
def test_other_files_are_not_compared(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(UnreadableResults):
        Baseline.read(path)


def test_missing_file_is_not_compared(tmp_path: Path) -> None:
    with pytest.raises(UnreadableResults, match="cannot be read"):
        Baseline.read(tmp_path / "missing.json")


def test_slower_figures_are_printed_with_both_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [
        results.change("Scans", rate(1000, 1000, 1000), rate(500, 500, 500)),
        results.change("Scans", latency(20, 20, 20), latency(20, 20, 20)),
    ]

    results.print_changes(tmp_path, changes)

    printed = capsys.readouterr().out
    assert "1 of 2 figures" in printed
    assert printed.splitlines()[-1].split() == ["Scans:", "settled", "10.00", "5.00", "+100%", "5%"]


def test_runs_without_a_common_figure_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.print_changes(tmp_path, [])
    assert "nothing was compared" in capsys.readouterr().out


def test_figure_without_a_goal_is_met() -> None:
    figure = Figure.of_rounds("verdict", "ms", [(20.0, 10.0)], "≤", None)
    assert figure.is_met
    assert figure.cells() == ("verdict, ms", "20.0", "10.0", "2.00", "", "")
