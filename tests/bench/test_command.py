"""The command line of the benchmarks, and their processes."""

from pathlib import Path

import pytest

from bench.__main__ import main, show
from bench.machine import Machine
from bench.own_process import run_in_own_process
from bench.results import Run
from bench.table import Figure, Table

MACHINE = Machine(cores=2, busy_percent=5.0, commit_ms=1.5, ping_ms=0.1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["nonsense"], "no such benchmark: nonsense"),
        (["scans", "--scale", "0"], "--scale must be above 0"),
        (["scans", "--scale", "2"], "--scale must be above 0 and at most 1"),
    ],
)
def test_wrong_arguments_are_reported(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert problem in capsys.readouterr().err


def test_missing_baseline_is_reported_before_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--compare", str(tmp_path / "missing.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_baseline_of_another_scale_is_reported_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    Run(MACHINE, scale=0.5).write(path)
    assert main(["--compare", str(path)]) == 2
    assert "Add --scale 0.5." in capsys.readouterr().err


def test_failed_benchmark_ends_the_run_with_its_name() -> None:
    with pytest.raises(SystemExit, match="nonsense failed with exit status 1"):
        run_in_own_process("nonsense", 1.0)


def test_table_is_printed_with_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    show(Table("Scans", [Figure("settled", "scans/s", 1_200.0, 100.0, "≥", 10)]), Run(MACHINE, scale=0.5))

    title, note, scale, headings, line = capsys.readouterr().out.strip().splitlines()

    assert title == "Scans"
    assert note == str(MACHINE)
    assert scale == "Scale 0.5: the goals are for scale 1."
    assert headings.split() == ["Waymark", "rival", "ratio", "goal", "met"]
    assert line.split() == ["settled,", "scans/s", "1,200", "100", "12.00", "≥", "10.00", "yes"]
