"""PgBouncer in transaction mode, in front of a PostgreSQL."""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from script.stack.files import temporary_directory
from script.stack.ports import LOOPBACK, free_port
from tests.support.polling import eventually

PATH = os.environ.get("PATH", "") + ":/usr/sbin"
PROGRAM = shutil.which("pgbouncer", path=PATH)
needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is not installed here (apt-get install pgbouncer)"
)


def tracks_statements() -> bool:
    """Return whether prepared statements work through it, as from version 1.21."""
    if PROGRAM is None:
        return False
    version = re.search(r"(\d+)\.(\d+)", subprocess.run((PROGRAM, "--version"), capture_output=True, text=True).stdout)
    return version is not None and tuple(map(int, version.groups())) >= (1, 21)


needs_tracked_statements = pytest.mark.skipif(not tracks_statements(), reason="no pgbouncer 1.21 or later here")

CONFIG = """
[databases]
waymark = host={host} port={server_port} dbname={dbname} user={user} password={password}

[pgbouncer]
listen_addr = {address}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
admin_users = waymark
query_wait_timeout = 5
max_client_conn = 500
ignore_startup_parameters = extra_float_digits,options
logfile = {folder}/log
"""


class Pooler:
    """PgBouncer with the files of a folder, which becomes its own. `url` is a database through it."""

    def __init__(self, folder: Path, url: str) -> None:
        self._config, self.url = folder / "pgbouncer.ini", url
        self._become: dict[str, Any] = {}
        if os.geteuid() == 0:  # PgBouncer does not run as root
            nobody = pwd.getpwnam("nobody")
            self._become = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            for each in (folder, *folder.iterdir()):
                os.chown(each, nobody.pw_uid, nobody.pw_gid)

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        command = (str(PROGRAM), str(self._config))
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **self._become)
        eventually(lambda: accepts(self.url))

    def kill(self) -> None:
        """SIGKILL it. `start` starts it again."""
        self.process.kill()
        self.process.wait()


@contextmanager
def running(folder: Path, url: str) -> Iterator[Pooler]:
    """Run PgBouncer with the files of a folder until the context ends."""
    own = Pooler(folder, url)
    try:
        own.start()
        yield own
    finally:
        own.kill()


@contextmanager
def pooler(database_url: str, *, pool_size: int = 8, max_prepared_statements: int = 0) -> Iterator[Pooler]:
    """Run PgBouncer with the database `waymark`, which is the one of the URL."""
    port, parts = free_port(), urlsplit(database_url)
    # Older versions refuse the parameter.
    more = f"max_prepared_statements = {max_prepared_statements}\n" if tracks_statements() else ""
    with temporary_directory("waymark-pgbouncer-") as folder:
        (folder / "pgbouncer.ini").write_text(
            CONFIG.format(
                host=parts.hostname,
                server_port=parts.port,
                dbname=parts.path.strip("/"),
                user=parts.username,
                password=parts.password,
                address=LOOPBACK,
                port=port,
                pool_size=pool_size,
                folder=folder,
            )
            + more
        )
        with running(folder, f"postgresql://waymark@{LOOPBACK}:{port}/waymark") as own:
            yield own


def console(url: str, command: str) -> None:
    """Run a command of the pooler's admin console: PAUSE, RESUME, RECONNECT or KILL, of the database `waymark`."""
    # The console knows no transactions and no parameters.
    with psycopg.connect(url, dbname="pgbouncer", autocommit=True, cursor_factory=psycopg.ClientCursor) as conn:
        conn.execute(f"{command} waymark")


def accepts(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True
