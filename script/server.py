"""Run all of Waymark at PORT until SIGTERM or SIGINT. `script/server --help` lists the settings.

The order: stores up and answering, `release` to success, every other process, `/readyz` answering 200. `urls.env` holds
the addresses from then until the end. Stopping goes in the reverse order.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from script.stack.console import Console
from script.stack.embedded_store import READY_WITHIN, EmbeddedStore, StoreError
from script.stack.files import kept_secret, passable_directory, write_private
from script.stack.orphans import MARK, stop_orphans
from script.stack.ports import LOOPBACK, can_listen, free_port, is_free, remembered_port
from script.stack.postgres import EmbeddedPostgres
from script.stack.process import Command
from script.stack.procfile import read_procfile
from script.stack.readiness import NotReadyError, listener_problem, ready, web_problem
from script.stack.redis import EmbeddedRedis
from script.stack.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[1]
WEB_READY_WITHIN = 120.0
METRICS_TARGETS = "metrics-targets.json"


class CannotStartError(Exception):
    """Something that the person at the terminal can mend; the message says what."""


@dataclass(frozen=True, slots=True)
class Options:
    data: Path
    port: int
    procfile: Path
    grace: float

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


def main() -> int:
    options = read_options()
    try:
        passable_directory(options.data)
        with sole_owner(options):
            console = Console()
            try:
                asyncio.run(serve(options, console))
            finally:
                console.close()
    except (CannotStartError, StoreError, NotReadyError) as error:
        print(f"Waymark cannot start: {error}", file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"Waymark cannot start: no permission for {error.filename or options.data}", file=sys.stderr)
        return 1
    return 0


def read_options() -> Options:
    parser = argparse.ArgumentParser(prog="script/server")
    parser.add_argument("--procfile", type=Path, default=CHECKOUT / "Procfile", help="the processes to run")
    parser.add_argument("--grace", type=float, default=10.0, metavar="SECONDS", help="for a process to stop in")
    given = parser.parse_args()
    port = os.environ.get("PORT") or "8000"
    if not port.isdecimal() or int(port) not in range(1, 65536):
        parser.error(f"PORT is {port!r}, but must be a number from 1 to 65535")
    data = Path(os.environ.get("WAYMARK_DATA") or CHECKOUT / ".waymark").resolve()
    return Options(data, int(port), given.procfile, given.grace)


@contextmanager
def sole_owner(options: Options) -> Iterator[None]:
    """Hold the lock on the data. The kernel lets go of it however we die, so it is never stale."""
    with os.fdopen(os.open(options.data / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStartError(
                f"it already runs on {options.data} ({lock.read().strip()}). "
                "Stop that one first, or choose another WAYMARK_DATA and PORT."
            ) from None
        lock.truncate()
        lock.write(f"pid {os.getpid()}, {options.url}\n")
        lock.flush()
        yield


async def serve(options: Options, console: Console) -> None:
    """Start everything, and run it until a signal arrives, also during the start."""
    stop_requested = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
            asyncio.get_running_loop().add_signal_handler(number, stop_requested.set)
    supervisor = Supervisor(console, options.data / "pids.json")
    stores = embedded_stores(options.data)
    starting = asyncio.create_task(start(options, console, supervisor, stores))
    stopping = asyncio.create_task(stop_requested.wait())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            console.say(f"Waymark is ready at {options.url}")
            await stopping
        console.say("Stopping")
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        (options.data / "urls.env").unlink(missing_ok=True)
        (options.data / METRICS_TARGETS).unlink(missing_ok=True)
        names = {store.name for store in stores.values()}
        await supervisor.stop(supervisor.running - names)
        await supervisor.stop(names)
        supervisor.forget()


def embedded_stores(data: Path) -> dict[str, EmbeddedStore]:
    """Return the embedded stores to start, by the variable of their address. One with an address is not started."""
    stores: dict[str, EmbeddedStore] = {
        "DATABASE_URL": EmbeddedPostgres(data / "postgres"),
        "REDIS_URL": EmbeddedRedis(data / "redis"),
    }
    return {variable: store for variable, store in stores.items() if not os.environ.get(variable)}


async def start(options: Options, console: Console, supervisor: Supervisor, stores: dict[str, EmbeddedStore]) -> None:
    try:
        processes = read_procfile(options.procfile)
    except (OSError, ValueError) as error:
        raise CannotStartError(str(error)) from error
    await asyncio.to_thread(stop_orphans, options.data, options.grace)
    if not is_free(options.port):
        raise CannotStartError(f"port {options.port} is taken by another program. Choose another, such as PORT=8001.")

    if stores:
        console.say(f"Starting {' and '.join(store.name for store in stores.values())} in {options.data}")
    await asyncio.gather(*(asyncio.to_thread(store.prepare) for store in stores.values()))
    for store in stores.values():
        supervisor.keep(store.name, store.command(), store.prepare)
    await asyncio.gather(*(ready(store.name, store.problem, READY_WITHIN) for store in stores.values()))

    variables = environment(options, stores)
    metrics_ports = {name: free_port() for name in processes if name not in ("release", "web")}
    commands = {
        name: Command(
            ("/bin/sh", "-c", f"exec {line}"),
            stop_within=options.grace,
            environment=variables | metrics_environment(options.data, metrics_ports.get(name)),
            directory=CHECKOUT,
        )
        for name, line in processes.items()
    }
    if release := commands.pop("release", None):
        status = await supervisor.run("release", release)
        if status != 0:
            raise CannotStartError(f"the release step ended with status {status}: {processes['release']}")
    if "catalog" in commands and not (variables.get("GRPC_LISTEN") or can_listen(variables["GRPC_SERVER_URL"])):
        console.say(f"Asking the quest catalog at {variables['GRPC_SERVER_URL']} instead of starting one")
        del commands["catalog"]
    for name, command in commands.items():
        supervisor.keep(name, command)
    ports = {name: port for name, port in {"web": options.port, **metrics_ports}.items() if name in commands}
    write_metrics_targets(options.data, ports)
    if "web" in commands:
        await ready("web", lambda: web_problem(options.port), WEB_READY_WITHIN)
    if "catalog" in commands:
        await ready("catalog", lambda: listener_problem(variables["GRPC_SERVER_URL"]), WEB_READY_WITHIN)
    names = ("DATABASE_URL", "REDIS_URL", "GRPC_SERVER_URL", "BASE_URL")
    write_private(options.data / "urls.env", "".join(f"{name}={variables[name]}\n" for name in names))


def environment(options: Options, stores: dict[str, EmbeddedStore]) -> dict[str, str]:
    """What the processes see. What the caller set is kept, what is missing is made."""
    chosen = {name: value for name, value in os.environ.items() if value}
    defaults = {
        # A port of its own: another server's catalog on a common port would end with that server.
        "GRPC_SERVER_URL": f"{LOOPBACK}:{remembered_port(options.data / 'catalog_port')}",
        "HOST": LOOPBACK,
        "SHUTDOWN_NOTICE_SECONDS": "0",  # no proxy asks this server
        "PUBLIC_URL": options.url,
        "JWT_SECRET": "" if "JWT_SECRET" in chosen else kept_secret(options.data / "jwt_secret"),
    }
    ours = {
        "PORT": str(options.port),
        "BASE_URL": options.url,
        "WAYMARK_DATA": str(options.data),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        MARK: str(options.data),
    }
    return {**defaults, **chosen, **ours, **{variable: store.url for variable, store in stores.items()}}


def metrics_environment(data: Path, port: int | None) -> dict[str, str]:
    """Return the directory for metrics, and the port on which a process other than web serves them."""
    directory = data / "metrics"
    directory.mkdir(exist_ok=True)
    return {"METRICS_DIR": str(directory)} | ({} if port is None else {"METRICS_PORT": str(port)})


def write_metrics_targets(data: Path, ports: dict[str, int]) -> None:
    """Write the port of each process in the format of Prometheus's `file_sd_configs`."""
    targets = [{"targets": [f"{LOOPBACK}:{port}"], "labels": {"process": name}} for name, port in ports.items()]
    write_private(data / METRICS_TARGETS, json.dumps(targets, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
