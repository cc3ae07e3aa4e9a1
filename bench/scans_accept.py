"""Requests accepted per second: `POST /scan` against a route by hand with a JWT check, one INSERT and one `send()`. And
scans accepted per second in batches, against those sent one by one.

Both sides have one gunicorn process with the same threads, and eight keep-alive connections from one client. No worker
runs: what is measured is accepting, and the cores are left to it.
"""

from bench.scans_data import BATCH, Player, batch_requests, scan_requests
from bench.scans_load import saturate
from bench.stack import Stack, serving
from bench.table import Figure

ROUNDS, SECONDS, CONNECTIONS = 5, 2.5, 8
OUR_WEB = "web.app:create_app()"
RIVAL_WEB = "bench.scans_rival_web:create_app()"


def measure(where: Stack, players: list[Player], scale: float) -> list[Figure]:
    """Measure alternating rounds of Waymark and the rival, after one of each to warm up."""
    requests = scan_requests(players, "/scan")

    def rate(port: int) -> float:
        return saturate(port, requests, connections=CONNECTIONS, seconds=SECONDS * scale)

    with (
        serving(where.data, "web", OUR_WEB) as our_port,
        serving(where.data, "rival-web", RIVAL_WEB, DATABASE_URL=where.rival_url) as rival_port,
    ):
        _, *rounds = [(rate(our_port), rate(rival_port)) for _ in range(1 + ROUNDS)]
        batches = batch_requests(players, "/scans/batch")
        batch_rounds = [
            (BATCH * saturate(our_port, batches, connections=CONNECTIONS, seconds=SECONDS * scale), rate(our_port))
            for _ in range(ROUNDS)
        ]
    return [
        Figure.of_rounds("accepted (202, committed)", "requests/s", rounds, "≥", 0.9),
        Figure.of_rounds(f"accepted in batches of {BATCH}, against single scans", "scans/s", batch_rounds, "≥", 5),
    ]
