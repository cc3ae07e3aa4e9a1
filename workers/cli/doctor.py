"""`waymark doctor`: check every component, and name each fault with its remedy."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
import psycopg
from rich.table import Table
from rich.text import Text

from shared import settings as environment
from shared.infra import db, read_replica
from shared.infra.broker import broker_answers
from shared.infra.db import Conn, exactly_one
from shared.settings import settings
from workers.cli import output
from workers.cli.commands import Command
from workers.cli.diagnosis import backups, machine, postgresql, processes
from workers.cli.diagnosis.checks import Check, run, without_consequences
from workers.cli.diagnosis.findings import Finding, fault, ok, warning
from workers.cli.tables import as_text

LIMIT_SECONDS = 10.0
"""All checks together. The longest one waits five seconds for workers."""
STYLES = {"ok": "green", "warning": "yellow", "fault": "bold red"}


@click.command(cls=Command, database=False)
def doctor() -> None:
    """Check every component. Name each fault and its remedy.

    Sends a message to each queue, and writes and deletes a file of 1 MiB. Exits with 1 if there is a fault.
    """
    with output.waiting("Checking every component"):
        findings = diagnose()
    if output.is_json():
        output.print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.state == "fault" for finding in findings):
        click.get_current_context().exit(1)


def diagnose() -> list[Finding]:
    """Return the findings of all checks. Those of a component that an unavailable store explains are left out."""
    if errors := environment.find_errors():
        return [fault("settings", error, "Correct this environment variable.") for error in errors]
    return without_consequences([*machine.check_settings(), *run(CHECKS, limit=LIMIT_SECONDS)])


def check_database() -> Iterator[Finding]:
    """Check PostgreSQL, and what it knows of processes, backups and files."""
    try:
        conn = db.dedicated_connection()
    except psycopg.OperationalError as error:
        yield postgresql.unavailable(error)
        return
    with conn:
        yield from postgresql.check_version(conn)
        yield from postgresql.check_direct_url(conn)
        yield from postgresql.check_connections(conn)
        yield from postgresql.check_clock(conn)
        schema = list(postgresql.check_schema(conn))
        yield from schema
        try:
            for name in ("scheduler", "relay"):
                yield from processes.check_leader(conn, name)
            yield from processes.check_relay_lag(conn)
            yield from processes.check_scans(conn)
            yield from backups.check_age(conn)
            yield from machine.check_files()
        except psycopg.errors.UndefinedTable:
            if all(finding.state == "ok" for finding in schema):
                raise
        yield from backups.check_pg_dump(conn)
        if (directory := _find_data_directory(conn)) is not None:
            yield from machine.check_postgresql_disk(directory)


def check_pool_url() -> Iterator[Finding]:
    """Check DATABASE_URL, where it is not the URL of the other checks."""
    if settings().direct_database_url == settings().database_url:
        return
    try:
        psycopg.connect(settings().database_url.get_secret_value(), **db.OPTIONS).close()
    except psycopg.OperationalError as error:
        yield fault(
            "pooler",
            f"DATABASE_URL does not answer: {db.describe(error)}",
            "Start the pooler, or correct DATABASE_URL.",
        )


def check_read_url() -> Iterator[Finding]:
    """Check the read replica, if there is one."""
    if settings().database_read_url is None:
        return
    try:
        with read_replica.connect() as conn:
            lag = read_replica.lag_of(conn)
    except psycopg.OperationalError as error:
        yield warning(
            "read replica",
            f"DATABASE_READ_URL does not answer: {db.describe(error)}",
            "Start the replica, or correct DATABASE_READ_URL. Reports are read from the primary meanwhile.",
        )
        return
    if lag > read_replica.MAX_LAG_SECONDS:
        yield warning(
            "read replica",
            f"The replica is {lag:,.0f} s behind",
            "Check that it receives changes, and that a scheduler leads. Reports are read from the primary meanwhile.",
        )
    else:
        yield ok("read replica", f"The replica is {lag:,.1f} s behind")


def check_messages() -> Iterator[Finding]:
    """Check the broker, and that processes take the messages."""
    yield from processes.check_broker()
    if broker_answers():
        yield from processes.check_workers()


def _find_data_directory(conn: Conn) -> Path | None:
    """Return PostgreSQL's directory if it is on this machine. None if the role may not read it."""
    try:
        directory = Path(str(exactly_one(conn.execute("SHOW data_directory"))[0]))
        return directory if directory.is_dir() else None
    except (psycopg.Error, OSError):
        return None


CHECKS = (
    Check("PostgreSQL", check_database, "Look for statements that block others in pg_stat_activity."),
    Check("pooler", check_pool_url, "Check the host in DATABASE_URL, and its name service."),
    Check("read replica", check_read_url, "Check the host in DATABASE_READ_URL, and its name service.", "warning"),
    Check("disks", machine.check_disks, "Check the mounts of FILES_DIR and TMPDIR: a network disk may be unavailable."),
    Check("Redis", processes.check_redis, "Check the host in REDIS_URL, and its name service."),
    Check("broker", check_messages, "Check the hosts in REDIS_URL and BROKER_URL, and their name service."),
    Check("web", processes.check_web, "Check the host in PUBLIC_URL, and its name service.", "warning"),
    Check("catalog", processes.check_catalog, "Check the host in GRPC_SERVER_URL, and its name service.", "warning"),
)


def _print(findings: list[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        text = Text(as_text(finding.message))
        if finding.remedy is not None:
            text.append(f"\nRemedy: {as_text(finding.remedy)}", style="italic")
        table.add_row(Text(finding.state, style=STYLES[finding.state]), finding.component, text)
    output.print_table(table)
    states = Counter(finding.state for finding in findings)
    output.console().print(
        f"\n{_count(states['fault'], 'fault')}, {_count(states['warning'], 'warning')}", style="bold"
    )


def _count(number: int, word: str) -> str:
    return f"{number or 'no'} {word}{'' if number == 1 else 's'}"
