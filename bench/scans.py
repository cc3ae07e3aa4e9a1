"""Scans: how fast they are settled and accepted, and how soon clients know. `python -m bench scans`."""

from bench import scans_accept, scans_latency, scans_live, scans_notify, scans_settle
from bench.scans_data import seed, sign_in
from bench.stack import stack
from bench.table import Table


def main(scale: float = 1.0) -> list[Table]:
    """Run all five and return their table. Live events that come late fail a goal that is not a ratio."""
    with stack(seed) as where:
        players = sign_in()
        figures = [*scans_settle.measure(where, scale), *scans_latency.measure(where, players, scale)]
        live, is_live_soon = scans_live.measure(where, players, scale)
        # Last: no worker settles the scans that these accept.
        figures += [*live, *scans_accept.measure(where, players, scale), *scans_notify.measure(scale)]
    return [Table("Scans", figures, other_goals_met=is_live_soon)]
