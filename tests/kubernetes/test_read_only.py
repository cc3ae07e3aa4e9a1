"""Every process runs as user 10001, without privileges, where nothing but its own directories can be written."""

import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from script.stack import temporary_postgres, temporary_redis
from script.stack.files import temporary_directory
from script.stack.ports import free_port
from script.stack.running_server import CHECKOUT
from tests.kubernetes.conftest import PROCFILE, Manifest, only
from tests.support.polling import eventually

pytestmark = [
    pytest.mark.long,
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount"),
    pytest.mark.skipif(not (shutil.which("unshare") and shutil.which("setpriv")), reason="util-linux is not installed"),
]
IN_PODS = (
    "python -m shared.infra.health --only postgresql,migrations --wait 300",
    "python -m workers.cli users list",
)
"""What an init container and `kubectl exec` run."""
IN_POD = """
set -eu
mount --make-rprivate /
if ! setpriv --reuid 10001 --regid 10001 --clear-groups test -r "$2/bin"; then
    # The interpreter is in the home of root, where pyenv installs it: show nothing else of this home.
    mount --bind "$2" "$1"
    top=/$(echo "$2" | cut -d/ -f2)
    mount -t tmpfs -o mode=0755 tmpfs "$top"
    mkdir -p "$2"
    mount --move "$1" "$2"
fi
mount -t tmpfs -o uid=10001,gid=10001,mode=0700 tmpfs "$1"
mount -o remount,ro,bind /
shift 2
exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all -- sh -c '
    mkdir "$TMPDIR" "$WAYMARK_DATA" "$HEARTBEAT_DIR" "$METRICS_DIR"
    ! touch /etc/waymark 2>/dev/null || exit 9
    exec "$@"' sh "$@"
"""


@contextmanager
def in_pod(command: str, directory: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of the Procfile until the context ends. `directory` is the only place that it can write to."""
    arguments = shlex.split(re.sub(r"\$\{\w+:-(\w+)}", r"\1", command))
    arguments[0] = str(Path(sys.executable).parent / arguments[0])
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", IN_POD, "sh", str(directory), sys.base_prefix, *arguments],  # noqa: S607
        cwd=CHECKOUT,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": f"{directory}/tmp",  # noqa: S108
            "WAYMARK_DATA": f"{directory}/data",
            "HEARTBEAT_DIR": f"{directory}/heartbeats",
            "METRICS_DIR": f"{directory}/metrics",
            **environment,
        },
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def is_healthy(port: int, path: str = "/healthz") -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def is_open_to_all(path: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (path, *path.parents))


def test_every_process_runs_on_a_read_only_file_system(rendered: dict[str, list[Manifest]]) -> None:
    """With the ConfigMap of the trial, and the Secret of its documentation."""
    if not all(map(is_open_to_all, (Path(sys.prefix), CHECKOUT))):
        pytest.skip("other users may not read the checkout or its environment")
    with ExitStack() as stack:
        catalog = f"127.0.0.1:{free_port()}"
        settings = {
            **only(rendered["trial"], "ConfigMap", "waymark")["data"],
            "WAYMARK_ENV": "production",
            "DATABASE_URL": stack.enter_context(temporary_postgres()).url,
            "REDIS_URL": stack.enter_context(temporary_redis()).url,
            "JWT_SECRET": secrets.token_hex(32),
            "GRPC_LISTEN": catalog,
            "GRPC_SERVER_URL": catalog,
        }
        pods = stack.enter_context(temporary_directory("waymark-pods-"))
        pods.chmod(0o755)
        ports = {}
        for name, command in PROCFILE.items():
            (directory := pods / name).mkdir()
            ports[name] = free_port()
            at = {"PORT": str(ports[name])} if name == "web" else {"METRICS_PORT": str(ports[name])}
            process = stack.enter_context(in_pod(command, directory, settings | at))
            if name == "release":
                assert process.wait(120) == 0
                for other in IN_PODS:
                    assert stack.enter_context(in_pod(other, directory, settings)).wait(120) == 0
            else:
                eventually(lambda port=ports[name]: is_healthy(port))  # type: ignore[misc]
        assert is_healthy(ports["web"], "/readyz?only=postgresql,migrations,redis,broker")
