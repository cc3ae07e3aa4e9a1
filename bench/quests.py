"""Quests: rewards claimed per second, and events replayed. `python -m bench quests`."""

from bench import quests_claims, quests_replay
from bench.quests_claims import seed
from bench.stack import stack
from bench.table import show


def main() -> bool:
    """Run both, print their table; whether every goal was met."""
    with stack(seed) as where:
        figures = [*quests_claims.measure(where), *quests_replay.measure()]
    return show("Quests", figures)
