"""A process for each benchmark, because settings, pools and brokers are created once in a process."""

import importlib
import signal
import sys
from multiprocessing import get_context
from multiprocessing.connection import Connection

from bench.table import Table

SPAWN = get_context("spawn")


def exit_on_sigterm() -> None:
    """Leave every context in order when SIGTERM arrives."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def run_in_own_process(name: str, scale: float) -> list[Table]:
    """Run a benchmark and return its tables. Exit if it fails."""
    receiver, sender = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=send_tables, args=(sender, name, scale))
    process.start()
    sender.close()
    try:
        tables: list[Table] = receiver.recv()
    except EOFError:
        process.join()
        sys.exit(f"{name} failed with exit status {process.exitcode}.")
    except SystemExit:
        process.terminate()
        raise
    finally:
        # After Ctrl-C too: the terminal sends SIGINT to both processes.
        process.join()
    return tables


def send_tables(sender: Connection, name: str, scale: float) -> None:
    """Run a benchmark and send its tables, as the main function of a process."""
    exit_on_sigterm()
    sender.send(importlib.import_module(f"bench.{name}").main(scale))
