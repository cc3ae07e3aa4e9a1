"""Scans: how fast they are settled and accepted, and how soon a waiting client knows. `python -m bench scans`."""

from bench import scans_accept, scans_latency, scans_settle
from bench.scans_data import seed, sign_in
from bench.stack import stack
from bench.table import Table


def main(scale: float = 1.0) -> list[Table]:
    """Run all three and return their table."""
    with stack(seed) as where:
        players = sign_in()
        figures = [
            *scans_settle.measure(where, scale),
            *scans_latency.measure(where, players, scale),
            *scans_accept.measure(where, players, scale),  # last: no worker settles the scans that it accepts
        ]
    return [Table("Scans", figures)]
