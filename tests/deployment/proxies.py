"""Proxies in front of two web processes, configured as docs/small-server.md says."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command
from script.stack.running_server import CHECKOUT
from tests.support.polling import eventually

Proxy = Callable[[Path, tuple[int, int]], AbstractContextManager[str]]
"""Runs with its files in a directory, in front of two ports. Yields its URL."""
PATH = f"{os.environ['PATH']}:/usr/sbin"
needs_caddy = pytest.mark.skipif(shutil.which("caddy") is None, reason="caddy is not installed (apt-get install caddy)")
needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx", path=PATH) and shutil.which("openssl")),
    reason="nginx is not installed (apt-get install nginx-light openssl)",
)
NGINX = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
{user}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxied;
    fastcgi_temp_path {directory}/unused;
    uwsgi_temp_path {directory}/unused;
    scgi_temp_path {directory}/unused;
    {page}
}}
"""


@contextmanager
def caddy(directory: Path, upstreams: tuple[int, int]) -> Iterator[str]:
    """Run Caddy with the file that the page imports, without TLS."""
    port = free_port()
    file = directory / "Caddyfile"
    file.write_text(
        f"{{\n\tadmin off\n}}\nhttp://{LOOPBACK}:{port} {{\n\timport {CHECKOUT / 'deploy/waymark.caddy'}\n}}\n"
    )
    environment = {
        **os.environ,
        "WAYMARK_WEB": " ".join(f"{LOOPBACK}:{each}" for each in upstreams),
        "HOME": str(directory),
    }
    with running(Command(("caddy", "run", "--config", str(file)), environment=environment, directory=directory), port):
        yield f"http://{LOOPBACK}:{port}"


@contextmanager
def nginx(directory: Path, upstreams: tuple[int, int]) -> Iterator[str]:
    """Run nginx with the file of the page, on other ports, with the certificate of `trust_certificate`."""
    port, plain = free_port(), free_port()
    certificate = Path(os.environ["SSL_CERT_FILE"])
    page = (CHECKOUT / "docs/small-server.md").read_text().partition("## With nginx")[2]
    block = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)[0]
    for before, after in {
        f"{LOOPBACK}:8001": f"{LOOPBACK}:{upstreams[0]}",
        f"{LOOPBACK}:8002": f"{LOOPBACK}:{upstreams[1]}",
        "listen 80;": f"listen {LOOPBACK}:{plain};",
        "listen 443 ": f"listen {LOOPBACK}:{port} ",
        "quest.example.org;": f"{LOOPBACK};",
        "/etc/letsencrypt/live/quest.example.org/fullchain.pem": str(certificate),
        "/etc/letsencrypt/live/quest.example.org/privkey.pem": str(certificate.with_suffix(".key")),
    }.items():
        assert before in block
        block = block.replace(before, after)
    file = directory / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    file.write_text(NGINX.format(directory=directory, page=block, user=user))
    command = (str(shutil.which("nginx", path=PATH)), "-p", str(directory), "-c", str(file), "-e", "stderr")
    with running(Command(command, directory=directory), port):
        yield f"https://{LOOPBACK}:{port}"


@contextmanager
def running(command: Command, port: int) -> Iterator[None]:
    with open_log(command.directory / "proxy.log") as log:
        process = subprocess.Popen(
            command.leashed(), env=dict(command.environment), cwd=command.directory, stdout=log, stderr=log
        )
    try:
        eventually(lambda: is_open(port))
        yield
    finally:
        process.terminate()
        process.wait(30)


def is_open(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((LOOPBACK, port)) == 0


def trust_certificate(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Make a certificate for 127.0.0.1, which clients of this test trust."""
    certificate = directory / "trusted.pem"
    command = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    )
    name = ("-subj", "/CN=Waymark", "-addext", f"subjectAltName=IP:{LOOPBACK}")
    files = ("-keyout", str(certificate.with_suffix(".key")), "-out", str(certificate))
    subprocess.run([*command, *name, *files], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
