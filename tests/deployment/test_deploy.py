"""script/deploy with recorded commands: the order of its steps, and a failure at each of them."""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from script.stack.running_server import CHECKOUT

OLD, NEW = "v1.0.0", "v1.1.0"
TOOLS = ("git", "docker", "gh", "systemctl", "systemd-run", "curl", "find")
FAKE = """#!/bin/sh
line="${0##*/} $*"
echo "$WAYMARK_VERSION $line" | sed 's/^ //' >> "$DEPLOY_TEST/calls"
case $line in
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
        """failure: a part of the command that fails, or gets DEPLOY_TEST_SIGNAL together with the script."""
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


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Machine]:
    def make(kind: str) -> Machine:
        for name in ("bin", "files/script", "running", "root/repository/script", "root/releases/v1.0.0"):
            (tmp_path / name).mkdir(parents=True)
        for tool in TOOLS:
            (tmp_path / "bin" / tool).write_text(FAKE)
            (tmp_path / "bin" / tool).chmod(0o755)
        bootstrap = tmp_path / "files/script/bootstrap"
        bootstrap.write_text('#!/bin/sh\necho "bootstrap $*" >> "$DEPLOY_TEST/calls"\n')
        bootstrap.chmod(0o755)
        repository = tmp_path / "root/repository"
        (repository / "script/deploy").write_bytes((CHECKOUT / "script/deploy").read_bytes())
        (repository / "deploy").symlink_to(CHECKOUT / "deploy")
        (repository / ".env").write_text("JWT_SECRET=a b\nWAYMARK_VERSION=1.0.0\n")
        (tmp_path / "root/current").symlink_to("releases/v1.0.0")
        (tmp_path / "root/deployed").write_text("2026-01-01T00:00:00Z v1.0.0\n")
        for process in PROCESSES[kind]:
            (tmp_path / "running" / process).write_text(OLD)
        return Machine(tmp_path, kind)

    return make


Make = Callable[[str], Machine]


def test_compose_replaces_one_container_after_the_other(machine: Make) -> None:
    host = machine("compose")
    done = host.deploy(NEW)

    assert done.returncode == 0, done.stderr
    repository = f"-C {host.home / 'root/repository'}"
    up = "docker compose up --detach --no-deps --no-build --wait --wait-timeout 180"
    run = "docker compose run --rm -T"
    assert host.calls == [
        f"git {repository} fetch --quiet --tags origin",
        f"git {repository} checkout --quiet --detach refs/tags/v1.1.0",
        "1.1.0 docker compose pull --quiet --policy missing release",
        f"1.1.0 {run} --no-deps release python -m shared.infra.health --only postgresql,migrations",
        f"1.0.0 {run} --no-deps release python -m workers.cli backup --if-configured",
        f"1.1.0 {run} release",
        f"git {repository} checkout --quiet --detach refs/tags/v1.1.0",
        *(f"1.1.0 {up} {name}" for name in PROCESSES["compose"]),
        *(
            f"1.1.0 {run} --no-deps release python -m workers.cli smoke http://{name}:8000"
            for name in ("web-a", "web-b")
        ),
        "1.1.0 docker compose up --detach --no-recreate --no-build",
    ]
    assert host.runs(NEW)
    assert host.history == [OLD, NEW]
    assert (host.home / "root/repository/.env").read_text() == "JWT_SECRET=a b\nWAYMARK_VERSION=1.1.0\n"


def test_systemd_replaces_one_unit_after_the_other(machine: Make) -> None:
    host = machine("systemd")
    (host.home / "root/releases/v0.9.0").mkdir()
    done = host.deploy(NEW)

    assert done.returncode == 0, done.stderr
    started = [line for line in host.calls if line.startswith(("bootstrap", "systemctl", "systemd-run"))]
    assert "bootstrap requirements.txt -m compileall" in started.pop(0)
    for last in ("1.1.0/.venv/bin/python -m shared.infra.health --only postgresql,migrations",
                 "1.0.0/.venv/bin/python -m workers.cli backup --if-configured",
                 "1.1.0/.venv/bin/python -m migrations"):  # fmt: skip
        assert started.pop(0).endswith(f"releases/v{last}")
    assert [line.split()[-1] for line in started] == [
        *PROCESSES["systemd"],
        "http://127.0.0.1:8001",
        "http://127.0.0.1:8002",
    ]
    assert host.runs(NEW)
    # The one before the last remains for a rollback, and older ones do not.
    assert sorted(each.name for each in (host.home / "root/releases").iterdir()) == [OLD, NEW]


STEPS = {
    "compose": [
        "fetch", "checkout", "pull", "inspect", "attestation", "cli backup", "-T release", *PROCESSES["compose"],
        "smoke http://web-a", "smoke http://web-b",
    ],
    "systemd": [
        "fetch", "archive", "cli backup", "-m migrations", *PROCESSES["systemd"],
        "smoke http://127.0.0.1:8001", "smoke http://127.0.0.1:8002",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "step"), [(kind, step) for kind, steps in STEPS.items() for step in steps])
def test_failed_step_leaves_the_earlier_release_running(machine: Make, kind: str, step: str) -> None:
    host = machine(kind)
    done = host.deploy(NEW, failure=step, WAYMARK_REPOSITORY="example/waymark")

    assert done.returncode == 1, done.stdout
    assert f"{NEW} is not deployed. {OLD} serves." in done.stderr
    assert host.runs(OLD)
    assert host.history == [OLD]
    assert not (host.home / "root/deploying").exists()
    assert (host.home / "root/current").readlink() == Path("releases/v1.0.0")
    if step == "cli backup":
        assert "deploy: the backup before the migration (--no-backup deploys without one) failed" in done.stderr
        assert not host.migrations
    if kind == "compose":
        assert [line for line in host.calls if "checkout" in line][-1].endswith(OLD)
        assert (host.home / "root/repository/.env").read_text().endswith("WAYMARK_VERSION=1.0.0\n")


@pytest.mark.parametrize("kind", PROCESSES)
def test_no_backup_is_made_without_need(machine: Make, kind: str) -> None:
    host = machine(kind)
    assert host.deploy(NEW, "--no-backup").returncode == 0
    assert len(host.migrations) == 1
    # The schema already suits the release.
    assert host.deploy(NEW).returncode == 0
    assert len(host.migrations) == 2
    assert not [line for line in host.calls if "workers.cli backup" in line]


CRASHES = {
    "compose": ["pull", "-T release", "web-b", "relay", "smoke http://web-b", "--no-recreate"],
    "systemd": ["archive", "-m migrations", "8002", "relay", "smoke http://127.0.0.1:8002"],
}


@pytest.mark.parametrize(("kind", "step"), [(kind, step) for kind, steps in CRASHES.items() for step in steps])
def test_deployment_after_a_crash(machine: Make, kind: str, step: str) -> None:
    """The same command completes it. A rollback returns to the release that served."""
    host = machine(kind)
    assert host.deploy(NEW, failure=step, DEPLOY_TEST_SIGNAL="KILL").returncode == -signal.SIGKILL
    back = (*host.home.rglob("deploying"),)
    if back:
        done = host.deploy("--rollback")
        assert done.returncode == 0, done.stderr
        assert host.runs(OLD)
        (host.home / "failed").unlink()
        assert host.deploy(NEW, failure=step, DEPLOY_TEST_SIGNAL="KILL").returncode == -signal.SIGKILL

    done = host.deploy(NEW)

    assert done.returncode == 0, done.stderr
    assert host.runs(NEW)
    assert host.history[-1] == NEW
    assert not (host.home / "root/deploying").exists()
    assert bool(back) == (step not in ("pull", "archive", "--no-recreate"))


def test_failure_after_a_crash_returns_every_process(machine: Make) -> None:
    """The second attempt cannot know which processes the first one has replaced."""
    host = machine("compose")
    host.deploy(NEW, failure="relay", DEPLOY_TEST_SIGNAL="KILL")
    (host.home / "failed").unlink()
    assert host.running["web-a"] == NEW

    done = host.deploy(NEW, failure="pull")

    assert f"{NEW} is not deployed. {OLD} serves." in done.stderr
    assert host.runs(OLD)


@pytest.mark.parametrize("sent", ["INT", "TERM", "HUP"])
def test_interrupted_deployment_returns_to_the_earlier_release(machine: Make, sent: str) -> None:
    host = machine("systemd")
    done = host.deploy(NEW, failure="waymark@relay", DEPLOY_TEST_SIGNAL=sent)

    assert done.returncode == 1
    assert f"{NEW} is not deployed. {OLD} serves." in done.stderr
    assert host.runs(OLD)


def test_lost_connection_does_not_end_the_deployment(machine: Make) -> None:
    """Without a reader of its output, a shell ends at the next line that it prints."""
    host = machine("compose")
    with subprocess.Popen(
        host.command(NEW), env=host.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as deployment:
        assert deployment.stdout is not None
        deployment.stdout.close()

    assert deployment.returncode == 0
    assert host.runs(NEW)
    assert (host.home / "root/deploy.log").read_text().endswith(f"deploy: {NEW} is deployed\n")


def test_processes_that_do_not_start_again_are_named(machine: Make) -> None:
    host = machine("compose")
    broken = host.home / "bin/docker"
    broken.write_text('#!/bin/sh\ncase $* in *" worker") exit 1 ;; esac\n')

    done = host.deploy(NEW)

    assert done.stderr.endswith(f"deploy: {NEW} is not deployed, and these processes of {OLD} do not start: worker\n")
    assert (host.home / "root/deploying").exists()


def test_script_may_be_called_from_anywhere(machine: Make, tmp_path: Path) -> None:
    host = machine("compose")
    (tmp_path / "link").symlink_to(host.command()[1])
    (tmp_path / "other root").symlink_to(host.home / "root")

    done = subprocess.run(
        ["sh", "link", NEW],  # noqa: S607
        cwd=tmp_path,
        env=host.environment(WAYMARK_ROOT="other root", CDPATH="/"),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert host.runs(NEW)


def test_secrets_survive_a_full_disk(machine: Make) -> None:
    host = machine("compose")
    secrets = host.home / "root/repository/.env"
    before = secrets.read_text()
    (host.home / "root/repository/.env.new").symlink_to("/dev/full")

    done = host.deploy(NEW)

    assert f"{NEW} is not deployed. {OLD} serves." in done.stderr
    assert secrets.read_text() == before
    assert host.history == [OLD]


def test_image_that_cannot_be_verified_is_refused(machine: Make) -> None:
    host = machine("compose")
    (host.home / "bin/gh").unlink()

    done = host.deploy(NEW, WAYMARK_REPOSITORY="example/waymark")

    assert "WAYMARK_REPOSITORY is set, and gh is not installed" in done.stderr
    assert host.runs(OLD)


@pytest.mark.parametrize("kind", PROCESSES)
def test_rollback_deploys_the_release_before_without_a_migration(machine: Make, kind: str) -> None:
    host = machine(kind)
    assert host.deploy(NEW).returncode == 0
    (host.home / "calls").unlink()

    done = host.deploy("--rollback")

    assert done.returncode == 0, done.stderr
    assert host.runs(OLD)
    assert host.history == [OLD, NEW, OLD]
    assert not host.migrations
    assert any(line.endswith("-m shared.infra.health --only postgresql,migrations") for line in host.calls)


@pytest.mark.parametrize("kind", PROCESSES)
def test_rollback_past_a_contract_migration_is_refused(machine: Make, kind: str) -> None:
    """The older code exits with 1, because the floor of the schema is above it."""
    host = machine(kind)
    assert host.deploy(NEW).returncode == 0

    done = host.deploy(OLD, "--rollback", failure="shared.infra.health")

    assert done.returncode == 1
    assert f"{OLD} is not deployed. {NEW} serves." in done.stderr
    assert host.runs(NEW)
    assert host.history == [OLD, NEW]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a version such as v1.2.3"),
        (("1.2.3",), "1.2.3 is not a version such as v1.2.3"),
        (("v1.2.3; reboot",), "v1.2.3; reboot is not a version such as v1.2.3"),
        (("v1.2.3\nreboot",), "v1.2.3\nreboot is not a version such as v1.2.3"),
        (("--upload-pack=reboot",), "--upload-pack=reboot is not a version such as v1.2.3"),
        (("v1.2.3", "v1.2.4"), "give one version"),
        (("--rollback",), "there is no earlier release"),
    ],
)
def test_refuses_other_arguments(machine: Make, arguments: tuple[str, ...], message: str) -> None:
    host = machine("compose")
    done = host.deploy(*arguments)

    assert (done.returncode, done.stderr) == (1, f"deploy: {message}\n")
    assert not (host.home / "calls").exists()


def test_forced_command_of_ssh_runs_nothing_else(machine: Make) -> None:
    """A key whose command is `script/deploy $SSH_ORIGINAL_COMMAND` deploys releases and does nothing else."""
    host = machine("compose")
    script = host.home / "root/repository/script/deploy"
    for command in (
        f"v1.1.0; touch {host.home}/pwned",
        f"$(touch {host.home}/pwned)",
        f"`touch {host.home}/pwned`",
        "-c id",
    ):
        done = subprocess.run(
            ["sh", "-c", f"sh {script} $SSH_ORIGINAL_COMMAND"],  # noqa: S607
            env={"PATH": os.environ["PATH"], "SSH_ORIGINAL_COMMAND": command, "WAYMARK_ROOT": str(host.home / "root")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        assert "is not a version" in done.stderr
    assert not (host.home / "pwned").exists()


def test_first_deployment_has_no_release_to_return_to(machine: Make) -> None:
    host = machine("compose")
    (host.home / "root/deployed").unlink()

    done = host.deploy(NEW, failure="--wait-timeout 180 worker")

    assert done.returncode == 1
    assert "there is no earlier release" in done.stderr


def test_two_deployments_do_not_overlap(machine: Make) -> None:
    host = machine("compose")
    with subprocess.Popen(
        ["flock", str(host.home / "root/deploy.lock"), "cat"],  # noqa: S607
        stdin=subprocess.PIPE,
    ) as holder:
        while subprocess.run(["flock", "-n", str(host.home / "root/deploy.lock"), "true"]).returncode == 0:  # noqa: S607
            pass
        done = host.deploy(NEW)
        assert holder.stdin is not None
        holder.stdin.close()

    assert (done.returncode, done.stderr) == (1, "deploy: another deployment is running\n")
