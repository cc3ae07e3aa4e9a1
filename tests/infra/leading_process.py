"""A process that leads and writes: `python -m tests.infra.leading_process NAME [unlimited]`. It prints `leads`.

For each line of its input, it inserts its name into `leader_writes`, and prints `wrote` or `lost`. With `unlimited`,
PostgreSQL does not limit its silence.
"""

import sys
import threading

import psycopg

from shared.infra.leader_election import leadership
from shared.infra.logging import configure

name, *options = sys.argv[1:]
configure(name)

with leadership(name, threading.Event()) as lead:
    assert lead is not None
    if options:
        lead.conn.execute("SET idle_session_timeout = 0")
    print("leads", flush=True)
    for _ in sys.stdin:
        try:
            lead.conn.execute("INSERT INTO leader_writes VALUES (%s)", (name,))
        except psycopg.OperationalError:
            print("lost", flush=True)
        else:
            print("wrote", flush=True)
