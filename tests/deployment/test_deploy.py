"""script/deploy with recorded commands: the order of its steps, a failure and a crash at each of them."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.deployment.machine import NEW, OLD, PROCESSES, Make


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
        "1.1.0 docker compose config --services",
        "1.1.0 docker compose up --detach --no-recreate --no-build --wait --wait-timeout 180 redis postgres",
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
        "fetch", "checkout", "pull", "inspect", "attestation", "redis postgres", "cli backup", "-T release",
        *PROCESSES["compose"], "smoke http://web-a", "smoke http://web-b",
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
    "compose": ["pull", "-T release", "web-b", "relay", "smoke http://web-b", "--no-build;"],
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
    assert bool(back) == (step not in ("pull", "archive", "--no-build;"))


def test_failure_after_a_crash_returns_every_process(machine: Make) -> None:
    """The second attempt cannot know which processes the first one has replaced."""
    host = machine("compose")
    host.deploy(NEW, failure="relay", DEPLOY_TEST_SIGNAL="KILL")
    (host.home / "failed").unlink()
    assert host.running["web-a"] == NEW

    done = host.deploy(NEW, failure="pull")

    assert f"{NEW} is not deployed. {OLD} serves." in done.stderr
    assert host.runs(OLD)


@pytest.mark.parametrize("sent", ["INT", "TERM"])
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


def test_lost_terminal_does_not_end_the_deployment(machine: Make) -> None:
    host = machine("systemd")
    with subprocess.Popen(host.command(NEW), env=host.environment(), stdout=subprocess.PIPE, text=True) as deployment:
        assert deployment.stdout is not None
        for line in deployment.stdout:
            if "replace" in line:
                deployment.send_signal(signal.SIGHUP)

    assert deployment.returncode == 0
    assert host.runs(NEW)


def test_processes_that_do_not_start_again_are_named(machine: Make) -> None:
    host = machine("compose")
    broken = host.home / "bin/docker"
    broken.write_text('#!/bin/sh\ncase $* in *--services) echo redis ;; *" worker") exit 1 ;; esac\n')

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
