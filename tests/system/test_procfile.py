from __future__ import annotations

from pathlib import Path

import pytest

from script.stack.procfile import read_procfile

CHECKOUT = Path(__file__).parents[2]


def test_reads_types_and_commands_in_order(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("# comment\nweb: gunicorn 'a:b()' --bind :$PORT\n\nworker-2:run\n")
    assert list(read_procfile(procfile).items()) == [("web", "gunicorn 'a:b()' --bind :$PORT"), ("worker-2", "run")]


def test_names_the_line_it_does_not_understand(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("web: gunicorn\nworker dramatiq\n")
    with pytest.raises(ValueError, match="line 2"):
        read_procfile(procfile)


def test_the_procfile_has_every_process() -> None:
    assert {"release", "web", "worker", "scheduler", "relay", "catalog"} <= read_procfile(CHECKOUT / "Procfile").keys()
