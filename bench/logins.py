"""Logins: what many at once cost scans, and what their time reveals about usernames. `python -m bench logins`.

`python -m bench.logins 0.1` runs it with a tenth of everything, to see whether it works.
"""

import json
import random
import selectors
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from statistics import median, quantiles

from bench.distributions import kolmogorov_smirnov, mann_whitney
from bench.scans_accept import OUR_WEB
from bench.scans_data import Player, scan_requests, seed, sign_in
from bench.scans_load import Connection, Requests, ask, pace
from bench.scans_settle import OUR_WORKER
from bench.stack import running, serving, stack
from bench.table import Figure, show
from shared.accounts import passwords
from shared.infra import db
from shared.infra.db import Conn

PASSWORD = "correct horse battery"  # noqa: S105 - of no account
LOGINS, RATE, SECONDS, ROUNDS = 200, 100, 10.0, 4
SAMPLES, WARM_UP = 500, 20
ALPHA = 0.01
"""How rarely either test may be wrong about two equal distributions. Below it, the usernames are distinguishable."""
LIMITS_OFF = {"RATE_LIMITS_ENABLED": "false", "TRUSTED_PROXIES": "1"}


def main(part: float = 1.0) -> bool:
    """Run both, print what they found; whether every goal was met."""
    with stack(seed) as where:
        players = sign_in()
        with db.connection() as conn:
            give_passwords(conn)
        with (
            serving(where.data, "web", OUR_WEB, **LIMITS_OFF) as port,
            running(where.data, "worker", *OUR_WORKER),
        ):
            figure = beside_logins(port, players, part)
            is_even = told_apart(port, max(10, int(SAMPLES * part)))
    return show("Logins", [figure]) and is_even


def give_passwords(conn: Conn) -> None:
    """One to every player: hashed once, for what is measured is not how they are stored."""
    conn.execute(
        "INSERT INTO credentials (player_id, password_hash) SELECT id, %s FROM players",
        (passwords.hash_password(PASSWORD),),
    )


def login(username: str, password: str, address: str) -> bytes:
    """A login as it goes over the wire, through a proxy that says whose it is."""
    body = json.dumps({"username": username, "password": password}).encode()
    head = f"POST /auth/login HTTP/1.1\r\nHost: bench\r\nX-Forwarded-For: {address}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def beside_logins(port: int, players: list[Player], part: float) -> Figure:
    """The verdicts of scans at a steady rate, in turn quiet and from the moment on at which many log in at once."""
    scans = scan_requests(players, "/scan", "Prefer: wait=10")
    seconds: dict[str, list[float]] = {"quiet": [], "crowded": []}
    answers: Counter[str] = Counter()
    pace(port, scans, rate=RATE, seconds=3)
    for _ in range(max(1, round(ROUNDS * part))):
        seconds["quiet"] += pace(port, scans, rate=RATE, seconds=SECONDS * max(part, 0.3))
        with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:  # its work must not delay what is measured
            elsewhere.submit(int).result()
            crowd = elsewhere.submit(all_at_once, port)
            seconds["crowded"] += pace(port, scans, rate=RATE, seconds=SECONDS * max(part, 0.3))
            answers.update(crowd.result())
    print(f"\n{LOGINS} logins at once were answered: {dict(answers)}")
    quiet, crowded = (quantiles([1_000 * sample for sample in seconds[name]], n=100) for name in ("quiet", "crowded"))
    print(f"verdict seen, p50: {quiet[49]:.1f} ms quiet, {crowded[49]:.1f} ms while they log in")
    return Figure(f"verdict seen while {LOGINS} log in / while none does, p99", "ms", crowded[98], quiet[98], "≤", 2.0)


def all_at_once(port: int) -> list[str]:
    """As many connections as there are logins, each with one under way; the statuses."""
    statuses: list[str] = []
    with selectors.DefaultSelector() as selector:
        for n in range(LOGINS):
            connection = Connection(port)
            connection.send(login(f"bench{n}", PASSWORD, f"10.0.{n // 250}.{n % 250 + 1}"), time.perf_counter())
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        while selector.get_map():
            for key, _ in selector.select():
                if (status := key.data.receive()) is not None:
                    statuses.append(status.decode())
                    selector.unregister(key.fileobj)
                    key.data.close()
    return statuses


def told_apart(port: int, samples: int) -> bool:
    """Measure whether the time of a refused login depends on the username. Both kinds come in random order."""
    requests = {name: wrong_logins(prefix) for name, prefix in (("known", "bench"), ("unknown", "nobod"))}
    connection = Connection(port)
    for _ in range(WARM_UP):
        for each in requests.values():
            ask(connection, next(each))
    order = ["known", "unknown"] * samples
    random.shuffle(order)
    seconds: dict[str, list[float]] = {"known": [], "unknown": []}
    for name in order:
        began = time.perf_counter()
        ask(connection, next(requests[name]))
        seconds[name].append(time.perf_counter() - began)
    connection.close()
    found = {test.__name__: test(seconds["known"], seconds["unknown"]) for test in (mann_whitney, kolmogorov_smirnov)}
    medians = ", ".join(f"{name} {1_000 * median(values):.2f} ms" for name, values in seconds.items())
    print(f"\nRefused logins, {samples} of each, medians: {medians}")
    for name, p in found.items():
        print(f"  {name.replace('_', '-')}: p = {p:.3f} {'≥' if p >= ALPHA else '<'} {ALPHA}")
    return all(p >= ALPHA for p in found.values())


def wrong_logins(prefix: str) -> Requests:
    """Yield logins with usernames of one kind and length, a wrong password, and another address each time."""
    for n in count():
        yield login(f"{prefix}{n % 1_000}", "not the password", f"10.1.{n // 250 % 250}.{n % 250 + 1}")


if __name__ == "__main__":
    sys.exit(0 if main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0) else 1)
