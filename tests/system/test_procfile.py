from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from script.stack.procfile import read_procfile
from shared.messages import Message

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
    processes = {"release", "web", "worker", "bulk", "scheduler", "relay", "catalog"}
    assert processes == read_procfile(CHECKOUT / "Procfile").keys()


def test_scans_share_no_process_with_long_work() -> None:
    commands = read_procfile(CHECKOUT / "Procfile")
    queues = {name: commands[name].partition(" --queues ")[2].split() for name in ("worker", "bulk")}
    assert queues == {"worker": ["scans", "images"], "bulk": ["renders", "analytics", "maintenance"]}


def test_every_message_has_a_process_that_receives_it() -> None:
    commands = read_procfile(CHECKOUT / "Procfile")
    received = [queue for name in ("worker", "bulk") for queue in commands[name].partition(" --queues ")[2].split()]
    assert {message.queue for message in Message.__subclasses__()} == set(received)


@pytest.mark.parametrize("name", ["worker", "bulk"])
def test_compose_runs_the_commands_of_the_procfile(name: str) -> None:
    services = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    command = read_procfile(CHECKOUT / "Procfile")[name]
    assert services[name]["command"] == ["sh", "-c", f"exec {command.replace('$', '$$')}"]
