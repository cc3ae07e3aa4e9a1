"""docs/small-server.md and the files that it installs."""

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from script.stack.procfile import read_procfile
from script.stack.running_server import CHECKOUT

UNITS = CHECKOUT / "deploy/systemd"
PAGE = (CHECKOUT / "docs/small-server.md").read_text()


def test_target_starts_every_process() -> None:
    wanted = re.findall(r"waymark\S*\.service", (UNITS / "waymark.target").read_text())
    processes = read_procfile(CHECKOUT / "Procfile").keys() - {"release", "web"}
    assert set(wanted) == {f"waymark@{name}.service" for name in processes} | {
        f"waymark-web@{port}.service" for port in re.findall(r"127\.0\.0\.1:(\d+)", proxy_file())
    }


def proxy_file() -> str:
    return (CHECKOUT / "deploy/waymark.caddy").read_text()


@pytest.mark.parametrize("name", ["waymark@.service", "waymark-web@.service"])
def test_unit_runs_without_privileges_until_it_is_stopped(name: str) -> None:
    unit = RawConfigParser(strict=False)
    unit.read(UNITS / name)
    service = unit["Service"]
    assert service["User"] == "waymark"
    assert service["Restart"] == "always"
    assert (service["NoNewPrivileges"], service["ProtectSystem"], service["CapabilityBoundingSet"]) == (
        "true",
        "strict",
        "",
    )
    # The longest stop of a process: a notice of 2 s, 8 s of open requests and 5 s for visits; a worker ends its run.
    assert int(service["TimeoutStopSec"]) >= 60


def test_process_runs_its_line_of_the_procfile(tmp_path: Path) -> None:
    (tmp_path / "script").mkdir()
    shutil.copy(CHECKOUT / "script/process", tmp_path / "script")
    (tmp_path / "Procfile").write_text("echo: echo ${GREETING:-hello} from $PWD\n")
    link = tmp_path / "current"
    link.symlink_to(tmp_path)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["sh", str(link / "script/process"), *arguments], capture_output=True, text=True)  # noqa: S607

    assert run("echo").stdout == f"hello from {tmp_path}\n"
    assert (run("reply").returncode, run().returncode, run("a;b").returncode) == (2, 2, 2)


def test_page_installs_the_files_that_exist() -> None:
    for path in re.findall(r"/srv/waymark/(?:repository|current)/([a-z./-]+[a-z])(?=[\s`])", PAGE):
        assert (CHECKOUT / path).exists(), path
