"""`.ci/migrations` finds statements that block the running release, or break it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from script.stack.running_server import CHECKOUT
from shared.infra import health

REVISION = """
from alembic import op
from migrations import create_index

revision = "{revision}"
down_revision = "{down_revision}"


def upgrade() -> None:
    {statements}
"""
IGNORE = "-- squawk-ignore ban-drop-column\n"
EXPECTED: dict[str, set[str]] = {
    'op.execute("ALTER TABLE organizations ADD COLUMN late text")': set(),
    'create_index("late", "CREATE INDEX CONCURRENTLY IF NOT EXISTS late ON organizations (late)")': set(),
    """op.execute("ALTER TABLE organizations ADD CONSTRAINT c CHECK (late <> '') NOT VALID")""": set(),
    'op.execute("ALTER TABLE organizations VALIDATE CONSTRAINT c")': set(),
    'op.execute("CREATE INDEX later ON organizations (late)")': {"require-concurrent-index-creation"},
    """op.execute("ALTER TABLE organizations ADD CONSTRAINT d CHECK (late <> 'd')")""": {
        "constraint-missing-not-valid"
    },
    'op.execute("ALTER TABLE organizations ALTER COLUMN late SET NOT NULL")': {"adding-not-nullable-field"},
    'op.execute("ALTER TABLE organizations RENAME COLUMN late TO later")': {"renaming-column"},
    'op.execute("ALTER TABLE organizations DROP COLUMN late")': {"ban-drop-column"},
    f'op.execute("""{IGNORE}ALTER TABLE organizations DROP COLUMN late""")': {"schema_floor"},
    f"""op.execute('''{IGNORE}ALTER TABLE organizations DROP COLUMN late''')
    op.execute("UPDATE schema_floor SET code = 2")""": set(),
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with one revision for each of the statements."""
    previous = health.required_migration()
    for statements in EXPECTED:
        revision = f"{int(previous) + 1:04}"
        text = REVISION.format(revision=revision, down_revision=previous, statements=statements)
        (tmp_path / f"{revision}_late.py").write_text(text)
        previous = revision
    return tmp_path


def check(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        (sys.executable, CHECKOUT / ".ci/migrations", *arguments),
        cwd=CHECKOUT,
        env=environment | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_dangerous_statements_are_found(directory: Path) -> None:
    result = check(str(directory))

    found: dict[str, set[str]] = {path.stem: set() for path in sorted(directory.glob("*.py"))}
    for name, rule in re.findall(r"(\d{4}_late)(?:\.sql:\S+ warning: |.*does not raise )([\w-]+)", result.stdout):
        found[name].add(rule)
    assert list(found.values()) == list(EXPECTED.values()), result.stdout + result.stderr
    assert result.returncode == 1
