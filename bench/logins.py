"""Logins: what many at once cost scans, and what their time reveals about usernames. `python -m bench logins`."""

import json
import random
import selectors
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, count
from multiprocessing import get_context
from statistics import median

from bench.distributions import kolmogorov_smirnov, mann_whitney
from bench.scans_accept import OUR_WEB
from bench.scans_data import Player, scan_requests, seed, sign_in
from bench.scans_load import Connection, Requests, ask, pace
from bench.scans_settle import OUR_WORKER
from bench.stack import running, scaled, serving, stack
from bench.table import Figure, Table, percentile
from shared.accounts import passwords
from shared.infra import db
from shared.infra.db import Conn

PASSWORD = "correct horse battery"  # noqa: S105 - of no account
LOGINS, RATE, SECONDS, ROUNDS = 200, 100, 8.0, 3
MIN_SUCCEEDED = 0.95
SAMPLES, WARM_UP = 300, 10
ALPHA = 0.01
"""How rarely either test may be wrong about two equal distributions. Below it, the usernames are distinguishable."""
LIMITS_OFF = {"RATE_LIMITS_ENABLED": "false", "TRUSTED_PROXIES": "1"}


def main(scale: float = 1.0) -> list[Table]:
    """Run both and return the table. Usernames that can be distinguished fail a goal that is not a ratio."""
    with stack(seed) as where:
        players = sign_in()
        with db.connection() as conn:
            give_passwords(conn)
        with (
            serving(where.data, "web", OUR_WEB, **LIMITS_OFF) as port,
            running(where.data, "worker", *OUR_WORKER),
        ):
            figure, has_succeeded = beside_logins(port, players, scale)
            are_alike = compare_refused_logins(port, scaled(SAMPLES, scale, 10))
    return [Table("Logins", [figure], other_goals_met=are_alike and has_succeeded)]


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


def beside_logins(port: int, players: list[Player], scale: float) -> tuple[Figure, bool]:
    """Measure the verdicts of scans at a steady rate, in turn quiet and from the moment at which many log in.

    Also return whether enough logins succeeded.
    """
    scans = scan_requests(players, "/scan", "Prefer: wait=10")
    seconds: dict[str, list[list[float]]] = {"quiet": [], "crowded": []}
    duration = SECONDS * max(scale, 0.3)
    answers: Counter[str] = Counter()
    pace(port, scans, rate=RATE, seconds=3)
    for _ in range(scaled(ROUNDS, scale)):
        seconds["quiet"].append(pace(port, scans, rate=RATE, seconds=duration))
        with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere:  # its work must not delay what is measured
            elsewhere.submit(int).result()
            crowd = elsewhere.submit(all_at_once, port)
            seconds["crowded"].append(pace(port, scans, rate=RATE, seconds=duration))
            answers.update(crowd.result())
    print(f"\n{LOGINS} logins at once were answered: {dict(answers)}")
    p50 = {name: percentile([*chain.from_iterable(rounds)], 50) for name, rounds in seconds.items()}
    print(f"verdict seen, p50: {p50['quiet']:.1f} ms quiet, {p50['crowded']:.1f} ms while they log in")
    name = f"verdict seen while {LOGINS} log in / while none does"
    figure = Figure.of_latencies(name, 99, seconds["crowded"], seconds["quiet"], "≤", 2.5)
    return figure, answers["200"] >= MIN_SUCCEEDED * answers.total()


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


def compare_refused_logins(port: int, samples: int) -> bool:
    """Return whether the durations of refused logins are alike for both kinds of username, sent in random order."""
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
