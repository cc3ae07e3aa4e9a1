"""`python -m bench [NAME...]`: run these benchmarks, or all. Ends with status 0 only if every goal was met."""

import importlib
import signal
import sys

import psutil

BENCHES = ("scans", "images", "renders", "timeline", "quests", "logins")
"""Each is a module of this package whose `main()` returns whether its goals were met."""

QUIET_PERCENT = 15


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in BENCHES]:
        print(f"No such benchmark: {', '.join(unknown)}. There are: {', '.join(BENCHES)}.", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that every context is left in order
    if (busy := psutil.cpu_percent(interval=1)) > QUIET_PERCENT:
        print(f"This machine is {busy:.0f} % busy with something else; ratios will suffer from it.", file=sys.stderr)
    try:
        met = [importlib.import_module(f"bench.{name}").main() for name in names or BENCHES]
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
