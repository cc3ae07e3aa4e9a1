"""The code of three releases in a row: the last one, this checkout with an expand, and one with the contract after it.

The last release is the nearest tag such as `v1.2.3` before this code. While there is none, it is this checkout without
the expand.
"""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from script.stack.running_server import CHECKOUT
from shared.infra import health

REVISION = """
from alembic import op
from migrations import create_index

revision = "{revision}"
down_revision = "{down_revision}"


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
"""
INDEX = 'create_index("late", "CREATE INDEX CONCURRENTLY IF NOT EXISTS late ON player_scans (late, id)")'
EXPAND = (
    (
        'op.execute("ALTER TABLE player_scans ADD COLUMN late text")',
        'op.execute("ALTER TABLE player_scans DROP COLUMN late")',
    ),
    (
        """op.execute("ALTER TABLE qr_codes ADD COLUMN late integer NOT NULL DEFAULT 0")""",
        'op.execute("ALTER TABLE qr_codes DROP COLUMN late")',
    ),
    (INDEX, 'op.execute("DROP INDEX late")'),
)
"""New columns and an index, in the tables that every scan writes. Statements that migrate up and down."""


def contract(floor: int) -> tuple[tuple[str, str], ...]:
    """Remove a column, which code below the floor may use."""
    text = f'op.execute("ALTER TABLE qr_codes DROP COLUMN late; UPDATE schema_floor SET code = {floor}")'
    return ((text, "raise NotImplementedError"),)


def last_tag() -> str | None:
    """Return the tag of the last release before this code. None if there is none here, as in a shallow clone."""
    description = ("git", "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "--exclude", "*-*")
    tag = subprocess.run(description, cwd=CHECKOUT, capture_output=True, text=True)
    return tag.stdout.strip() or None


def copy_last_release(directory: Path) -> Path:
    """Copy the code of the last release to the directory, and return it."""
    tag = last_tag()
    if tag is None:
        return copy_checkout(directory)
    archive = subprocess.run(("git", "archive", tag), cwd=CHECKOUT, capture_output=True, check=True)  # noqa: S607
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(directory, filter="data")
    return directory


def copy_checkout(directory: Path) -> Path:
    """Copy the files of this checkout, with changes that are not committed, and return the directory."""
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(listing, cwd=CHECKOUT, capture_output=True, check=True, text=True)
    for name in filter(None, names.stdout.split("\0")):
        source, target = CHECKOUT / name, directory / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return directory


def add_revisions(versions: Path, statements: tuple[tuple[str, str], ...], after: str) -> str:
    """Write a revision for each pair of statements, after a revision. Return the last one."""
    versions.mkdir(exist_ok=True)
    for up, down in statements:
        revision = f"{int(after) + 1:04}"
        text = REVISION.format(revision=revision, down_revision=after, up=up, down=down)
        (versions / f"{revision}_late.py").write_text(text)
        after = revision
    return after


def copy_next_releases(directory: Path) -> tuple[Path, Path]:
    """Copy this checkout with the expand, and with the contract of the release after it. Return their directories."""
    expanded, contracted = copy_checkout(directory / "expand"), copy_checkout(directory / "contract")
    for code in (expanded, contracted):
        head = add_revisions(code / "migrations" / "versions", EXPAND, health.required_migration())
    add_revisions(contracted / "migrations" / "versions", contract(int(head)), head)
    return expanded, contracted


def python(code: Path, *module: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run `python -m module` of a release."""
    return subprocess.run(
        (sys.executable, "-m", *module),
        cwd=code,
        env={**environment, "PYTHONPATH": str(code)},
        capture_output=True,
        text=True,
        timeout=900,
    )
