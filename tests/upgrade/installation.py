"""The processes of several releases, on the same stores."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from script.stack.files import open_log
from script.stack.ports import LOOPBACK, free_port
from script.stack.process import Command, kill_group
from script.stack.procfile import read_procfile
from tests.support.polling import eventually
from tests.system.processes import ENVIRONMENT


class ReleaseProcess:
    """One line of the Procfile of a release."""

    def __init__(self, code: Path, name: str, log: Path, environment: Mapping[str, str]) -> None:
        self._log = log
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(code), "PYTHONUNBUFFERED": "1"}
        full = {**os.environ, **ENVIRONMENT, **environment, **own}
        line = read_procfile(code / "Procfile")[name]
        command = Command(("/bin/sh", "-c", f"exec {line}"), environment=full, directory=code)
        with open_log(log) as output:
            self.process = subprocess.Popen(
                command.leashed(), cwd=code, env=full, stdout=output, stderr=output, start_new_session=True
            )

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def until_it_says(self, word: str) -> None:
        eventually(lambda: self.process.poll() is not None or word in self.output())
        assert word in self.output(), self.output()

    def stop(self) -> None:
        """Stop it as a platform does: by SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        assert status == 0, self.output()

    def kill(self) -> None:
        kill_group(self.process.pid)
        self.process.wait()


class Installation:
    """Starts processes, and ends those that still run."""

    def __init__(self, directory: Path, urls: Mapping[str, str]) -> None:
        self._directory = directory
        self._started: list[ReleaseProcess] = []
        catalog = f"{LOOPBACK}:{free_port()}"
        self.environment = {**urls, "FILES_DIR": str(directory / "files"), "HOST": LOOPBACK, "GRPC_SERVER_URL": catalog}

    def start(self, code: Path, name: str, **environment: str) -> ReleaseProcess:
        """Start a process of a release."""
        log = self._directory / f"{len(self._started):02}-{code.name}-{name}.log"
        self._started.append(ReleaseProcess(code, name, log, self.environment | environment))
        return self._started[-1]

    def migrate(self, code: Path) -> None:
        """Run the release process to its end."""
        release = self.start(code, "release")
        assert release.process.wait(120) == 0, release.output()

    def end(self) -> None:
        for each in self._started:
            each.kill()


@contextmanager
def installation(directory: Path, urls: Mapping[str, str]) -> Iterator[Installation]:
    """Yield an installation without processes. Its processes end with the context."""
    made = Installation(directory, urls)
    try:
        yield made
    finally:
        made.end()
