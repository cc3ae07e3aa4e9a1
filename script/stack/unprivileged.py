"""Running PostgreSQL when we are root, which it refuses to do as root itself.

It then runs as `nobody`, who may be unable to enter the checkout or the data directory. What `nobody` cannot reach
goes below /var/lib/waymark, which only root writes to: no permission is changed on anything we did not make. Temporary
data gets a temporary place, for the system to clean up if a killed test does not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from script.stack.embedded_store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from script.stack.process import Account

STATE = Path("/var/lib/waymark")


def can_run(account: Account, argv: Sequence[str]) -> bool:
    """Whether `argv` succeeds as `account`: asking the system beats computing what its permissions amount to."""
    try:
        outcome = subprocess.run(
            argv,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            timeout=30,
        )
    except OSError:
        return False
    return outcome.returncode == 0


def can_enter(account: Account, directory: Path) -> bool:
    return can_run(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)])


def new_home(prefix: str, *, instead_of: Path) -> Path:
    """A directory with an unguessable name that everyone may pass through and only root may write to."""
    temporary = Path(tempfile.gettempdir()).resolve()
    place = temporary if instead_of.resolve().is_relative_to(temporary) else _state()
    home = Path(tempfile.mkdtemp(prefix=f"waymark-{prefix}-", dir=place))
    home.chmod(0o711)
    return home


def copied_package(package: Path, version: str) -> Path:
    """A copy of the wheel's package directory and of the libraries the wheel put beside it."""
    place = _state() / f"{package.name}-{version}"
    if not place.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{place.name}-", dir=_state()))
        unused = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "doc", "*.a", "__pycache__")
        for source in (package, package.with_name(f"{package.name}.libs")):
            if source.exists():
                shutil.copytree(source, draft / source.name, ignore=unused)
        for path in [draft, *draft.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            draft.rename(place)
        except OSError:  # another start was faster
            shutil.rmtree(draft)
    return place / package.name


def _state() -> Path:
    STATE.mkdir(parents=True, exist_ok=True, mode=0o755)
    if STATE.stat().st_uid != 0:
        raise StoreError(f"{STATE} does not belong to root, so PostgreSQL cannot be run from there")
    return STATE
