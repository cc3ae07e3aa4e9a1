"""A machine for script/deploy: its commands are recorded, and fail where a test wants it."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from script.stack.running_server import CHECKOUT

OLD, NEW = "v1.0.0", "v1.1.0"
TOOLS = ("git", "docker", "gh", "systemctl", "systemd-run", "curl", "find")
FAKE = """#!/bin/sh
line="${0##*/} $*"
echo "$WAYMARK_VERSION $line" | sed 's/^ //' >> "$DEPLOY_TEST/calls"
case "$line;" in
*"$DEPLOY_TEST_FAILURE"*)
    # Only the first time: what returns to the earlier release works.
    if [ ! -e "$DEPLOY_TEST/failed" ]; then
        touch "$DEPLOY_TEST/failed"
        [ -z "$DEPLOY_TEST_SIGNAL" ] || kill -s "$DEPLOY_TEST_SIGNAL" 0
        exit 1
    fi ;;
esac
case $line in
*shared.infra.health*) case "$WAYMARK_VERSION $line" in *1.1.0*) [ -e "$DEPLOY_TEST/migrated" ] || exit 1 ;; esac ;;
*"-T release" | *"-m migrations") touch "$DEPLOY_TEST/migrated" ;;
git*archive*) tar -c -f "$5" -C "$DEPLOY_TEST/files" . ;;
docker*"config --services"*) printf 'web-a\nredis\npostgres\nproxy\n' ;;
docker*" up "*" redis postgres") ;;
docker*" up "*--wait*) for last; do :; done; echo "v$WAYMARK_VERSION" > "$DEPLOY_TEST/running/$last" ;;
systemctl*restart*) for last; do :; done; readlink "$WAYMARK_ROOT/current" > "$DEPLOY_TEST/running/$last" ;;
docker*"config --images"*) echo example/waymark ;;
find*) echo heartbeat ;;
esac
"""
PROCESSES = {
    "compose": ["web-a", "web-b", "worker", "bulk", "relay", "scheduler", "catalog"],
    "systemd": [
        *(f"waymark-web@{port}.service" for port in (8001, 8002)),
        *(f"waymark@{name}.service" for name in ("worker", "bulk", "relay", "scheduler", "catalog")),
    ],
}


@dataclass(frozen=True)
class Machine:
    """A machine on which v1.0.0 runs, and whose commands are recorded."""

    home: Path
    kind: str

    def deploy(
        self, *arguments: str, failure: str = "no such line", **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(failure, **environment),
            capture_output=True,
            text=True,
            timeout=60,
            start_new_session=True,
        )

    def command(self, *arguments: str) -> list[str]:
        return ["sh", str(self.home / "root/repository/script/deploy"), *arguments]

    def environment(self, failure: str = "no such line", **others: str) -> dict[str, str]:
        """failure: a part of the command that fails, or gets DEPLOY_TEST_SIGNAL as the script does. `;` ends it."""
        return {
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "WAYMARK_DEPLOY_WITH": self.kind,
            "WAYMARK_ROOT": str(self.home / "root"),
            "WAYMARK_VERSION": "",
            "DEPLOY_TEST": str(self.home),
            "DEPLOY_TEST_FAILURE": failure,
            "DEPLOY_TEST_SIGNAL": "",
        } | others

    @property
    def calls(self) -> list[str]:
        return (self.home / "calls").read_text().splitlines()

    @property
    def migrations(self) -> list[str]:
        return [line for line in self.calls if line.endswith(("-T release", "-m migrations"))]

    @property
    def running(self) -> dict[str, str]:
        """The version of each process."""
        return {file.name: file.read_text().strip().rpartition("/")[2] for file in (self.home / "running").iterdir()}

    def runs(self, version: str) -> bool:
        return self.running == dict.fromkeys(PROCESSES[self.kind], version)

    @property
    def history(self) -> list[str]:
        return [line.split()[1] for line in (self.home / "root/deployed").read_text().splitlines()]


def make_machine(home: Path, kind: str) -> Machine:
    """Return a machine in an empty directory. kind: compose or systemd."""
    for name in ("bin", "files/script", "running", "root/repository/script", "root/releases/v1.0.0"):
        (home / name).mkdir(parents=True)
    for tool in TOOLS:
        (home / "bin" / tool).write_text(FAKE)
        (home / "bin" / tool).chmod(0o755)
    bootstrap = home / "files/script/bootstrap"
    bootstrap.write_text('#!/bin/sh\necho "bootstrap $*" >> "$DEPLOY_TEST/calls"\n')
    bootstrap.chmod(0o755)
    repository = home / "root/repository"
    (repository / "script/deploy").write_bytes((CHECKOUT / "script/deploy").read_bytes())
    (repository / "script/deploy").chmod(0o755)
    (repository / "deploy").symlink_to(CHECKOUT / "deploy")
    (repository / ".env").write_text("JWT_SECRET=a b\nWAYMARK_VERSION=1.0.0\n")
    (home / "root/current").symlink_to("releases/v1.0.0")
    (home / "root/deployed").write_text("2026-01-01T00:00:00Z v1.0.0\n")
    for process in PROCESSES[kind]:
        (home / "running" / process).write_text(OLD)
    return Machine(home, kind)


Make = Callable[[str], Machine]
