"""HAProxy before two web processes, one of which is usually not running."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command
from tests.support.polling import eventually

CONFIGURATION = """
global
    stats socket {directory}/admin.sock mode 600 level admin
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout check 10s
    timeout tunnel 1h
    option http-buffer-request
    option redispatch 1
    retries 5
    retry-on conn-failure empty-response 503
frontend waymark
    bind {host}:{port}
    default_backend web
backend web
    option httpchk
    http-check send meth GET uri /healthz?accepting
    http-check expect status 200
    default-server check inter 200ms fall 1 rise 1
    server first {host}:{first}
    server second {host}:{second}
"""


@dataclass(frozen=True)
class Balancer:
    """A running HAProxy. `ports` are those of its servers, by name."""

    directory: Path
    base_url: str
    ports: dict[str, int]
    process: "subprocess.Popen[bytes]"

    def sends_to(self) -> set[str]:
        """Return the servers that get requests."""
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self.directory / "admin.sock"))
            control.sendall(b"show stat\n")
            text = b"".join(iter(lambda: control.recv(65_536), b"")).decode()
        rows = [line.split(",") for line in text.splitlines() if line.startswith("web,")]
        return {row[1] for row in rows if row[1] in self.ports and row[17] == "UP"}


@contextmanager
def balancing(directory: Path) -> Iterator[Balancer]:
    """Run HAProxy until the context ends."""
    program = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program is not None
    ports = {"first": free_port(), "second": free_port()}
    port = free_port()
    configuration = directory / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(directory=directory, host=LOOPBACK, port=port, **ports))
    command = Command((program, "-db", "-f", str(configuration)))
    with open_log(directory / "haproxy.log") as log:
        process = subprocess.Popen(command.leashed(), stdout=log, stderr=log, start_new_session=True)
    balancer = Balancer(directory, f"http://{LOOPBACK}:{port}", ports, process)
    try:
        eventually((directory / "admin.sock").exists)
        yield balancer
    finally:
        process.terminate()
        process.wait(30)
