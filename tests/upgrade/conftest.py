"""A directory for clusters, which an unprivileged user runs."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.upgrade.clusters import Run


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that other users can pass through."""
    made = Path(tempfile.mkdtemp(prefix="waymark-major-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def run(open_directory: Path) -> Run:
    """Return a function that runs a program as an unprivileged user, in a directory of its own."""
    user = pwd.getpwnam("nobody")
    home = open_directory / "postgresql"
    home.mkdir()
    os.chown(home, user.pw_uid, user.pw_gid)

    def run_it(*argv: Any) -> None:
        done = subprocess.run(
            list(map(str, argv)),
            cwd=home,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            stdout=(open_directory / "postgresql.log").open("a"),
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, (open_directory / "postgresql.log").read_text()

    return run_it
