"""The image of the Dockerfile, built and run without an engine: buildah, and chroot in place of a container."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from script.stack.running_server import CHECKOUT

WRITABLE = ("/tmp", "/run/waymark", "/run/metrics")  # noqa: S108
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# A base image in place of python:3.12-slim, which only a registry has.
BASE = """
FROM scratch
ADD base.tar /
COPY certificates /etc/ssl/certs/ca-certificates.crt
COPY pip.conf /etc/pip.conf
RUN ln -s python3 /usr/bin/python
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
"""
CONTAINER = """
set -eu
root=$1 user=${USER_AND_GROUP%:*} group=${USER_AND_GROUP#*:}
mount --make-rprivate /
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
for each in $WRITABLE; do mount -t tmpfs -o "uid=$user,gid=$group,mode=0700" tmpfs "$root$each"; done
mount --bind "$VOLUME" "$root/var/lib/waymark"
shift
exec chroot "$root" setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --bounding-set=-all sh -c '
    ! touch "$DIRECTORY/waymark" 2>/dev/null || exit 9
    cd "$DIRECTORY"
    exec "$@"' sh "$@"
"""


@dataclass(frozen=True)
class Image:
    """An image, and its files in a directory. Its containers share a volume for files of renders."""

    root: Path
    volume: Path
    config: dict[str, Any]

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        variables = dict(each.split("=", 1) for each in self.config["Env"])
        container = {
            "WRITABLE": " ".join(WRITABLE),
            "VOLUME": str(self.volume),
            "USER_AND_GROUP": self.config["User"],
            "DIRECTORY": self.config["WorkingDir"],
        }
        return variables | container | settings

    @contextmanager
    def running(self, command: list[str], settings: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a command in a container until the context ends."""
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", CONTAINER, "sh", str(self.root), *command],  # noqa: S607
            env=self.environment(settings),
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.Signals[self.config.get("StopSignal") or "SIGTERM"])
            assert process.wait(60) == 0

    def execute(
        self, process: "subprocess.Popen[bytes]", command: list[str], settings: dict[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in the container of a process, as the same user."""
        user, group = self.config["User"].split(":")
        inside = ("nsenter", "--target", str(process.pid), "--mount", "--root", f"--setuid={user}", f"--setgid={group}")
        return subprocess.run(
            [*inside, "sh", "-c", 'cd "$DIRECTORY" && exec "$@"', "sh", *command],
            env=self.environment(settings),
            capture_output=True,
            text=True,
            timeout=120,
        )


@contextmanager
def built_image(scratch: Path, **arguments: str) -> Iterator[Image]:
    """Build the Dockerfile on a base of Debian's packages, which takes about 1.5 GB in `scratch`."""
    base = scratch / "base"
    base.mkdir()
    run("mmdebstrap", "--quiet", "--variant=minbase", "--include=python3,python3-venv", "bookworm", base / "base.tar")
    (base / "Dockerfile").write_text(BASE)
    # Behind a proxy, a machine has certificates of its own.
    (base / "certificates").write_bytes(CERTIFICATES.read_bytes())
    (base / "pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n")
    store = ("--root", scratch / "store", "--runroot", scratch / "run", "--storage-driver", "vfs")
    build = ("bud", "--isolation", "chroot", "--network", "host", "--pull-never", "--quiet")
    run("buildah", *store, *build, "--tag", "localhost/python", base)
    shutil.rmtree(base)
    settings = {"PYTHON": "localhost/python"} | arguments
    given = [part for name, value in settings.items() for part in ("--build-arg", f"{name}={value}")]
    # The format of OCI has no health check.
    run("buildah", *store, *build, "--format", "docker", *given, "--tag", "localhost/waymark", CHECKOUT)
    found = json.loads(run("buildah", *store, "inspect", "--type", "image", "localhost/waymark"))
    container = run("buildah", *store, "from", "--pull-never", "localhost/waymark")
    root = Path(run("buildah", *store, "mount", container))
    # An engine gives a new volume the owner that the directory has in the image.
    owner = (root / "var/lib/waymark").stat()
    (volume := scratch / "volume").mkdir()
    os.chown(volume, owner.st_uid, owner.st_gid)
    try:
        yield Image(root, volume, found["Docker"]["config"])
    finally:
        run("buildah", *store, "rm", container)


def run(*command: object) -> str:
    done = subprocess.run(
        [str(part) for part in command], env=dict(os.environ), capture_output=True, text=True, timeout=1200
    )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    return done.stdout.strip()
