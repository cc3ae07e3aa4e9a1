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


def check(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | variables
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


def test_migration_that_was_released_cannot_change(tmp_path: Path) -> None:
    """The repository of the test has a release whose base differs from this one, in one of its two files."""
    repository = {"GIT_DIR": str(tmp_path / "git"), "GIT_WORK_TREE": str(CHECKOUT)}
    base = "migrations/versions/0001_base"
    released = {f"{base}.down.sql": "-- other\n", f"{base}.py": (CHECKOUT / f"{base}.py").read_text()}
    for name, text in released.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "migrations"), (*author, "commit", "-qm", "a"), ("tag", "v1.0.0")):
        environment = os.environ | repository | {"GIT_WORK_TREE": str(tmp_path)}
        subprocess.run(("git", *command), cwd=tmp_path, env=environment, check=True)  # noqa: S607

    result = check(**repository)

    assert re.findall(r"^(\S+): this migration was released", result.stdout, re.MULTILINE) == [f"{base}.down.sql"]
    assert result.returncode == 1
