"""Metrics of submitted scans."""

from shared.infra.metrics import Counter, defer

ACCEPTED = Counter(
    "waymark_scans_accepted_total",
    "Submitted scans, by submitter (player or key) and answer: accepted, or repeated if the nonce was stored before.",
    ("by", "answer"),
)


def record(accepted: int, repeated: int, *, by_key: bool) -> None:
    """Count scans that were stored, and those whose nonce was stored before."""
    by = "key" if by_key else "player"
    if accepted:
        defer(ACCEPTED, (by, "accepted"), accepted)
    if repeated:
        defer(ACCEPTED, (by, "repeated"), repeated)
