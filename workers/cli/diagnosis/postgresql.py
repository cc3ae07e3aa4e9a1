"""Checks of PostgreSQL: its version and schema, connections and clock."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg

from shared.backup.restore import is_incomplete
from shared.infra import db, health
from shared.infra.db import Conn, exactly_one
from shared.settings import settings
from workers.cli.diagnosis.findings import Finding, fault, ok, warning

COMPONENT = "PostgreSQL"
OLDEST_VERSION = 15
MAX_CLOCK_SECONDS, UNUSUAL_CLOCK_SECONDS = 30.0, 2.0
"""A token of another process may seem expired, and a live scan late. NTP holds clocks within milliseconds."""
CONNECTIONS_BESIDE_POOLS = 6
"""Relay and scheduler hold two connections each while they lead, and commands one or two."""


REMEDIES = {
    "resolve host": "Correct the host in {name}: its name has no address. Or repair this machine's name service.",
    "authentication failed": "Correct the user and the password in {name}.",
    "no password supplied": "Add the password to {name}.",
    "pg_hba.conf": "Let pg_hba.conf allow this machine, user and database, or correct {name}.",
    "permission denied": "Grant CONNECT on the database to the role that {name} names.",
    'database "': "Create the database that {name} names, or correct {name}.",
    'role "': "Create the role that {name} names, or correct {name}.",
    "too many clients": "Lower DATABASE_POOL_SIZE, or raise max_connections of PostgreSQL.",
    "remaining connection slots": "Lower DATABASE_POOL_SIZE, or raise max_connections of PostgreSQL.",
    "too many connections": "Lower DATABASE_POOL_SIZE, or raise the connection limit of the role or database.",
    "starting up": "Wait until PostgreSQL has started.",
    "shutting down": "Start PostgreSQL again.",
    "SSL": "Let sslmode in {name} agree with the server.",
}
"""Remedies by a part of the message. A connection that fails has no code of the error."""


def unavailable(error: psycopg.OperationalError) -> Finding:
    """Return the fault of a connection that failed."""
    message = db.describe(error)
    name = "DATABASE_URL" if settings().database_direct_url is None else "DATABASE_DIRECT_URL"
    general = "Start PostgreSQL, or correct host and port in {name}."
    remedy = next((REMEDIES[part] for part in REMEDIES if part in message), general)
    return fault(COMPONENT, f"PostgreSQL is unavailable: {message}", remedy.format(name=name))


def check_version(conn: Conn) -> Iterator[Finding]:
    """Check the server's version, and whether it accepts writes."""
    version, in_recovery, read_only = exactly_one(
        conn.execute(
            """
            SELECT current_setting('server_version_num')::integer, pg_is_in_recovery(),
                   current_setting('default_transaction_read_only')::boolean
            """
        )
    )
    name = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version // 10_000 < OLDEST_VERSION:
        yield fault(COMPONENT, f"{name} is too old", f"Upgrade PostgreSQL to version {OLDEST_VERSION} or newer.")
    elif in_recovery or read_only:
        yield fault(
            COMPONENT, f"{name} is read-only", "Let DATABASE_URL name the primary, or promote this server to primary."
        )
    else:
        yield ok(COMPONENT, f"{name} answers")


def check_schema(conn: Conn) -> Iterator[Finding]:
    """Compare the schema with the migrations of this code."""
    required = int(health.required_migration())
    try:
        found, floor = exactly_one(
            conn.execute(
                "SELECT version_num::integer, (SELECT coalesce(max(code), 0) FROM schema_floor) FROM alembic_version"
            )
        )
    except (psycopg.errors.UndefinedTable, LookupError):
        found = floor = 0
    migrate = "Run `python -m migrations`, the release process."
    if found == 0 and is_incomplete(conn):
        yield fault(
            "schema",
            "A restore into this database did not finish",
            "Drop the database, create a new one, and restore the backup into it.",
        )
    elif found == 0:
        yield fault("schema", "The database has no schema", migrate)
    elif found < required:
        yield fault("schema", f"The schema is at migration {found:04}, and this code needs {required:04}", migrate)
    elif required < floor:
        yield fault(
            "schema", f"The schema is too new for this code: it needs code {floor:04}", "Install the newer release."
        )
    else:
        yield ok("schema", f"The schema is at migration {found:04}")


def check_connections(conn: Conn) -> Iterator[Finding]:
    """Compare the pools of all processes with the connections that the server allows."""
    allowed, in_use = exactly_one(
        conn.execute(
            """
            SELECT least(current_setting('max_connections')::integer
                         - current_setting('superuser_reserved_connections')::integer
                         - coalesce(current_setting('reserved_connections', true)::integer, 0),
                         (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
                         (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())),
                   (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')
            """
        )
    )
    size = settings().database_pool_size
    # web, catalog, and the processes of worker and bulk.
    processes = 2 + settings().worker_processes + settings().bulk_processes
    needed = size * processes + CONNECTIONS_BESIDE_POOLS
    fitting = max(1, (allowed - CONNECTIONS_BESIDE_POOLS) // processes)
    remedy = f"Set DATABASE_POOL_SIZE to at most {fitting}, or let PostgreSQL allow {needed} connections."
    if settings().direct_database_url != settings().database_url:
        yield ok("connections", f"Pools of {size} connections use DATABASE_URL, which is not the server itself")
    elif size > allowed:
        yield fault("connections", f"DATABASE_POOL_SIZE is {size}, and the server allows {allowed} connections", remedy)
    elif needed > allowed:
        yield warning(
            "connections",
            f"{processes} processes with DATABASE_POOL_SIZE {size} can open {needed} connections. "
            f"The server allows {allowed}",
            remedy,
        )
    else:
        yield ok("connections", f"{in_use} of {allowed} connections are in use, and the pools open up to {needed}")


def check_direct_url(conn: Conn) -> Iterator[Finding]:
    """Find a pooler in transaction mode between: leaders, LISTEN and replays need sessions of their own."""
    name = "DATABASE_URL" if settings().database_direct_url is None else "DATABASE_DIRECT_URL"
    if db.is_pooled(conn):
        yield fault(
            "direct URL",
            f"{name} leads to a pooler in transaction mode",
            "Set DATABASE_DIRECT_URL to the URL of PostgreSQL itself. DATABASE_URL can name the pooler.",
        )
    else:
        yield ok("direct URL", f"{name} leads to PostgreSQL without a pooler in transaction mode")


def check_clock(conn: Conn) -> Iterator[Finding]:
    """Compare the clock of this machine with that of the server."""
    before = datetime.now(UTC)
    (server,) = exactly_one(conn.execute("SELECT clock_timestamp()"))
    after = datetime.now(UTC)
    seconds = (before + (after - before) / 2 - server).total_seconds()
    remedy = "Synchronize the clocks of both machines with NTP: see `timedatectl status`."
    message = (
        f"The clock of this machine is {abs(seconds):,.0f} s {'ahead of' if seconds > 0 else 'behind'} PostgreSQL's"
    )
    if abs(seconds) > MAX_CLOCK_SECONDS:
        yield fault("clock", message, remedy)
    elif abs(seconds) > UNUSUAL_CLOCK_SECONDS:
        yield warning("clock", message, remedy)
    else:
        yield ok("clock", "The clock of this machine agrees with PostgreSQL's")
