"""Scans: how fast they are settled and accepted, and how soon a waiting client knows. `python -m bench scans`."""

from bench import scans_accept, scans_latency, scans_settle
from bench.scans_data import seed, sign_in
from bench.stack import stack
from bench.table import show


def main() -> bool:
    """Run all three, print their table; whether every goal was met."""
    with stack(seed) as where:
        players = sign_in()
        figures = [
            *scans_settle.measure(where),
            *scans_latency.measure(where, players),
            *scans_accept.measure(where, players),  # last: no worker settles the scans that it accepts
        ]
    return show("Scans", figures)
