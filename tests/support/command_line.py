"""Run commands of `waymark` in the test's process."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

from shared.infra import broker as brokers
from shared.infra import db
from shared.infra import redis as redis_clients
from shared.infra.logging import CurrentStdout
from shared.settings import settings
from workers.cli.main import waymark as command


def run(*arguments: object, stdin: str | None = None, color: bool = False) -> Result:
    """Run a command. The result has its exit code, stdout and stderr."""
    # Loggers that an application of an earlier test has configured stay so: their lines are no output of the command.
    with patch.object(CurrentStdout, "stream", lambda _stdout: io.StringIO()):
        result = CliRunner().invoke(command, list(map(str, arguments)), input=stdin, color=color, prog_name="waymark")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def waymark(*arguments: object, stdin: str | None = None) -> str:
    """Run a command that succeeds, and return its output."""
    result = run(*arguments, stdin=stdin)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def waymark_json(*arguments: object, stdin: str | None = None) -> Any:
    """Run a command that succeeds with `--json`, and return the document."""
    return json.loads(waymark(*arguments, "--json", stdin=stdin))


def error_of(*arguments: object, stdin: str | None = None, status: int = 1) -> str:
    """Run a command that fails with this exit status and prints nothing else. Return the error."""
    result = run(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    return result.stderr.rpartition("Error: ")[2].strip()


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Other settings, and stores at other addresses."""

    def reset() -> None:
        settings.cache_clear()
        db.close_pool()
        redis_clients.client.reset()
        brokers.broker.reset()

    with pytest.MonkeyPatch.context() as patches:
        for name, value in variables.items():
            patches.setenv(name, value)
        reset()
        try:
            yield
        finally:
            patches.undo()
            reset()
