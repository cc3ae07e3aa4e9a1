"""Make the virtual environment once, then replace this process with its Python. Standard library only.

    python script/environment.py REQUIREMENTS.txt ARGUMENTS...

`script/bootstrap` calls this with an interpreter of the system. It is Python, because shell cannot keep three promises:

- Two scripts that start together install once: an flock, which the kernel releases however this process ends.
- An interrupted install is repeated: the marker records the start of an install before it begins.
- A start with nothing to install is instant: the marker holds the digest of the requirements.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[1]
MARKER = "waymark-environment.json"
"""A file in every environment made here. A directory without it is not changed."""


def main(arguments: list[str]) -> None:
    requirements = CHECKOUT / arguments[0]
    venv = Path(os.environ.get("WAYMARK_VENV") or CHECKOUT / ".venv").absolute()
    try:
        if not is_current(venv, requirements):
            with locked(venv):
                if not is_current(venv, requirements):
                    make(venv, requirements)
    except OSError as error:
        sys.exit(f"The environment {venv} could not be made: {error}. Set WAYMARK_VENV to another place.")
    replace_process(venv / "bin" / "python", arguments[1:])


def is_current(venv: Path, requirements: Path) -> bool:
    """True if `venv` is complete, still has its interpreter, and has exactly these requirements."""
    marker = read_marker(venv)
    return is_usable(venv, marker) and marker["requirements"].get(requirements.name) == digest(requirements)


def is_usable(venv: Path, marker: dict[str, Any]) -> bool:
    """False after an interrupted install, or if the interpreter was removed or replaced by another version."""
    python = venv / "bin" / "python"
    return (
        bool(marker.get("complete"))
        and os.access(python, os.X_OK)
        and marker["interpreter"] == os.path.realpath(python)
    )


def make(venv: Path, requirements: Path) -> None:
    """Create the environment if it is not usable, and install the requirements. Exit with a message on failure."""
    marker = read_marker(venv)
    if not marker and venv.exists() and any(venv.iterdir()):
        sys.exit(f"{venv} was not made by Waymark's scripts. Remove it, or set WAYMARK_VENV to another place.")
    report(f"Installing {requirements.name} into {venv} (takes about a minute, once)")
    if is_usable(venv, marker):
        write_marker(venv, {**marker, "complete": False})
    else:
        remove(venv)
        venv.mkdir(parents=True)
        marker = {"requirements": {}}
        write_marker(venv, {**marker, "complete": False})
        run([sys.executable, "-I", "-m", "venv", str(venv)], "The virtual environment could not be made")
    python = venv / "bin" / "python"
    pip = [str(python), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # --no-deps: pip would look for newer releases of what an extra requires, such as coverage[toml], and then refuse
    # them for want of a hash. The lock file is complete; `pip check` proves it.
    run(
        [*pip, "--quiet", "install", "--no-deps", "--require-hashes", "--requirement", str(requirements)],
        "The dependencies could not be installed (is the package index reachable?)",
    )
    run([*pip, "check"], f"{requirements.name} does not name every dependency")
    held = {**marker["requirements"], requirements.name: digest(requirements)}
    write_marker(venv, {"complete": True, "interpreter": os.path.realpath(python), "requirements": held})


def remove(venv: Path) -> None:
    """Remove an environment, if there is one."""
    # Renamed first: an interrupted removal could leave a directory without a marker, which no later run would change.
    doomed = venv.with_name(f"{venv.name}.old")
    shutil.rmtree(doomed, ignore_errors=True)
    if venv.exists():
        venv.replace(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


@contextmanager
def locked(venv: Path) -> Iterator[None]:
    """Hold `<venv>.lock`. Wait while another process holds it."""
    # Beside the environment, because an environment that is made again is removed first.
    venv.parent.mkdir(parents=True, exist_ok=True)
    with venv.with_name(f"{venv.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("Waiting for another Waymark script that is installing")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_marker(venv: Path) -> dict[str, Any]:
    try:
        marker = json.loads((venv / MARKER).read_text())
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def write_marker(venv: Path, marker: dict[str, Any]) -> None:
    draft = venv / f"{MARKER}.new"
    draft.write_text(json.dumps(marker, indent=2) + "\n")
    draft.replace(venv / MARKER)


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def run(command: list[str], failure: str) -> None:
    """Run a command with its output on stderr. Exit with `failure` unless it succeeds."""
    status = subprocess.run(command, env={**os.environ, "PIP_USER": "0"}, stdout=sys.stderr).returncode
    if status != 0:
        sys.exit(f"{failure}: {' '.join(command)} ended with status {status}")


def report(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def replace_process(python: Path, arguments: list[str]) -> None:
    """Run Python in place of this process. Signals and the exit status need no forwarding."""
    path = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(CHECKOUT), "VIRTUAL_ENV": str(python.parents[1])}
    environment.pop("PYTHONHOME", None)
    os.execve(python, [str(python), *arguments], environment)


if __name__ == "__main__":
    main(sys.argv[1:])
