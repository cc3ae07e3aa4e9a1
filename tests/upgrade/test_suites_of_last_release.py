"""The tests of the last release's stores pass on the schema of the next release."""

import os
import shutil
from pathlib import Path

import pytest

from tests.upgrade import releases

pytestmark = [pytest.mark.system, pytest.mark.long]

SUITES = ("tests/scans", "tests/redemptions")


def test_suites_of_the_last_release_pass_on_the_next_schema(tmp_path: Path) -> None:
    last = releases.copy_last_release(tmp_path / "last")
    expanded, _ = releases.copy_next_releases(tmp_path)
    shutil.rmtree(last / "migrations")
    shutil.copytree(expanded / "migrations", last / "migrations")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}

    result = releases.python(last, "pytest", "-q", "-n", "2", "--maxfail", "5", *SUITES, environment=environment)

    assert result.returncode == 0, result.stdout[-5_000:]
    assert " passed" in result.stdout
