"""Metrics of granted rewards: those that the ledger has, by its source."""

from functools import partial
from typing import Literal, get_args

from shared.infra import db
from shared.infra.db import Conn
from shared.infra.metrics import Counter

Source = Literal["scan", "encounter", "quest"]

GRANTED = Counter(
    "waymark_rewards_granted_total", "Rewards entered in the ledger, by source: scan, encounter or quest.", ("source",)
)
for source in get_args(Source):
    GRANTED.labels(source)  # so that each exists before its first reward, which `increase` would not see otherwise


def record(conn: Conn, source: Source, rewards: int) -> None:
    """Count rewards that this transaction has entered in the ledger, once it is committed."""
    if rewards:
        db.after_commit(conn, partial(GRANTED.labels(source).inc, rewards))
