"""Quests: rewards claimed per second, and events replayed. `python -m bench quests`."""

from bench import quests_claims, quests_replay
from bench.quests_claims import seed
from bench.stack import stack
from bench.table import Table


def main(scale: float = 1.0) -> list[Table]:
    """Run both and return their table."""
    with stack(seed) as where:
        figures = [*quests_claims.measure(where, scale), *quests_replay.measure(scale)]
    return [Table("Quests", figures)]
