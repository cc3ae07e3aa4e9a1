"""Deployments over SSH: the step of the workflow, a real sshd, and the line of docs/releases.md that limits the key."""

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command
from script.stack.running_server import CHECKOUT
from tests.deployment.machine import NEW, OLD, Machine, Make
from tests.deployment.proxies import is_open
from tests.support.polling import eventually

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
WORKFLOW = yaml.safe_load((CHECKOUT / ".github/workflows/deploy.yml").read_text())
STEP = WORKFLOW["jobs"]["deploy"]["steps"][0]["run"]
DEPLOY = "/srv/waymark/repository/script/deploy"


def authorized_key(host: Machine) -> str:
    """Return the options of the key in docs/releases.md, with the script of this machine."""
    page = (CHECKOUT / "docs/releases.md").read_text()
    options = re.findall(r"^(restrict,.*) ssh-ed25519 AAAA…$", page, re.MULTILINE)
    assert len(options) == 1
    assert DEPLOY in options[0]
    return str(options[0]).replace(DEPLOY, host.command()[1])


@dataclass(frozen=True)
class Server:
    """A server on which sshd runs, and a runner of the workflow."""

    host: Machine
    port: int

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@{LOOPBACK}:{self.port}"

    def known_hosts(self, key: str = "host") -> str:
        return f"[{LOOPBACK}]:{self.port} {(self.host.home / f'{key}.pub').read_text()}"

    def deploy(
        self, tag: str, *, rollback: str = "", key: str = "deploy", known_hosts: str | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run the step of the workflow."""
        home = self.host.home / "runner"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        return subprocess.run(
            ["bash", "-e", "-c", STEP],  # noqa: S607
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "ADDRESS": self.address,
                "KEY": (self.host.home / key).read_text(),
                "KNOWN_HOSTS": self.known_hosts() if known_hosts is None else known_hosts,
                "ROLLBACK": rollback,
                "TAG": tag,
            },
            cwd=home,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def ssh(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Connect as someone does who has stolen the key."""
        options = ("-F", "none", "-i", str(self.host.home / "deploy"), "-o", "BatchMode=yes")
        trust = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR")
        return subprocess.run(
            ["ssh", *options, *trust, *arguments],  # noqa: S607
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )


@contextmanager
def sshd(host: Machine) -> Iterator[Server]:
    """Serve the user of the test, and no other account, with the key `deploy`."""
    port = free_port()
    for name in ("host", "deploy", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.home / name)], check=True)  # noqa: S607
    (host.home / "authorized_keys").write_text(f"{authorized_key(host)} {(host.home / 'deploy.pub').read_text()}")
    environment = " ".join(f'"{name}={value}"' for name, value in host.environment("no-such-line").items())
    (host.home / "sshd_config").write_text(f"""
ListenAddress {LOOPBACK}:{port}
HostKey {host.home}/host
AuthorizedKeysFile {host.home}/authorized_keys
AllowUsers {getpass.getuser()}
PermitRootLogin forced-commands-only
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
StrictModes no
UsePAM no
SetEnv {environment}
Subsystem sftp internal-sftp
""")
    if os.geteuid() == 0:
        # Where sshd of Debian separates its privileges. Its service creates it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    command = Command((str(SSHD), "-D", "-e", "-f", str(host.home / "sshd_config")))
    with open_log(host.home / "sshd.log") as log:
        process = subprocess.Popen(command.leashed(), stdout=log, stderr=log)
    try:
        eventually(lambda: is_open(port))
        yield Server(host, port)
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.long
@pytest.mark.skipif(SSHD is None, reason="sshd is not installed (apt-get install openssh-server)")
def test_key_deploys_to_the_pinned_host_and_does_nothing_else(machine: Make) -> None:
    with sshd(machine("compose")) as server:
        host = server.host
        assert_refuses_hosts_and_keys(server)
        assert_runs_nothing_but_deployments(server)
        assert host.runs(OLD)
        assert not (host.home / "calls").exists()

        done = server.deploy(NEW)
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith(f"deploy: {NEW} is deployed\n")
        assert host.runs(NEW)

        assert server.deploy(OLD, rollback="--rollback").returncode == 0
        assert host.runs(OLD)
        assert host.history == [OLD, NEW, OLD]


def assert_refuses_hosts_and_keys(server: Server) -> None:
    for known_hosts in ("", server.known_hosts("other")):
        done = server.deploy(NEW, known_hosts=known_hosts)
        assert done.returncode == 255
        assert "Host key verification failed." in done.stderr
    done = server.deploy(NEW, key="other")
    assert done.returncode == 255
    assert "Permission denied (publickey)." in done.stderr


def assert_runs_nothing_but_deployments(server: Server) -> None:
    pwned = server.host.home / "pwned"
    touch = f"touch {pwned}"
    refused: dict[str, Callable[[], subprocess.CompletedProcess[str]]] = {
        "a command after the version": lambda: server.deploy(f"v1.1.0; {touch}"),
        "a substitution": lambda: server.deploy(f"$({touch})"),
        "backquotes": lambda: server.deploy(f"`{touch}`"),
        "a second line": lambda: server.deploy(f"v1.1.0\n{touch}"),
        "an option of ssh on the runner": lambda: server.deploy(f"-oProxyCommand={touch}"),
        "an option of git": lambda: server.deploy("--upload-pack=id"),
        "a command": lambda: server.ssh(server.address, touch),
        "a shell": lambda: server.ssh(server.address),
    }
    for attack, attempt in refused.items():
        done = attempt()
        assert done.returncode == 1, (attack, done)
        assert "version such as v1.2.3" in done.stdout + done.stderr, (attack, done)
        assert not pwned.exists(), attack
    # The server sends no messages beside files.
    files = server.ssh("-s", server.address, "sftp")
    assert (files.returncode, files.stdout) == (1, "")
    # `restrict` forbids terminals, and tunnels into the server's network.
    assert server.ssh("-tt", server.address).returncode == 255
    tunnel = server.ssh("-o", "ExitOnForwardFailure=yes", "-W", f"{LOOPBACK}:{server.port}", server.address)
    assert tunnel.returncode == 255
    assert "forwarding failed" in tunnel.stderr
