"""`python -m shared.infra.health`, which init containers and deployment scripts run."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from script.stack.running_server import CHECKOUT
from shared.infra import health
from shared.infra.db import Conn
from tests.support.polling import eventually

pytestmark = pytest.mark.system


def command(*arguments: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        (sys.executable, "-m", "shared.infra.health", *arguments),
        cwd=CHECKOUT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: str, **variables: str) -> tuple[int, str]:
    """Return the exit status and the output."""
    process = command(*arguments, **variables)
    output, errors = process.communicate(timeout=60)
    return process.returncode, output + errors


@pytest.fixture
def behind(conn: Conn) -> Iterator[None]:
    """The schema is behind the code."""
    conn.execute("UPDATE alembic_version SET version_num = '0000'")
    yield
    migrate(conn)


def migrate(conn: Conn) -> None:
    conn.execute("UPDATE alembic_version SET version_num = %s", (health.required_migration(),))


def test_ready_dependencies_exit_with_0(conn: Conn) -> None:
    assert run() == (0, "")


def test_message_lists_the_stores_that_are_not_ready(conn: Conn, behind: None) -> None:
    assert run() == (1, "not ready: migrations\n")
    assert run("--only", "postgresql,redis") == (0, "")
    assert run("--only", "redis", REDIS_URL="redis://127.0.0.1:9/0") == (1, "not ready: redis\n")


def test_waits_until_the_dependencies_are_ready(conn: Conn, behind: None) -> None:
    waiting = command("--only", "migrations", "--wait", "300")
    pids = "SELECT FROM pg_stat_activity WHERE query LIKE '%FROM alembic_version%' AND pid <> pg_backend_pid()"
    eventually(lambda: conn.execute(pids).rowcount)
    assert waiting.poll() is None
    migrate(conn)
    assert waiting.communicate(timeout=60) == ("", "")
    assert waiting.returncode == 0


def test_gives_up_after_its_time(conn: Conn, behind: None) -> None:
    assert run("--only", "migrations", "--wait", "0.1") == (1, "not ready: migrations\n")


def test_unknown_name_is_refused() -> None:
    status, output = run("--only", "mysql")
    assert status == 2
    assert output.endswith("Use names of postgresql, migrations, redis, broker, files, separated by commas.\n")
