"""Write the dashboards of Grafana as JSON files. `script/dashboards --help` describes the options."""

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from script.grafana import overview, workers
from script.grafana.panels import dashboard_of

DIRECTORY = Path(__file__).resolve().parents[1] / "monitoring" / "dashboards"


def render() -> dict[str, str]:
    """Return the content of each file, by its name."""
    dashboards = {
        "overview.json": dashboard_of(
            "waymark-overview",
            "Waymark: overview",
            "Does the installation keep its promises, and which part does not?",
            overview.ROWS,
        ),
        "workers.json": dashboard_of(
            "waymark-workers",
            "Waymark: workers and stores",
            "What workers do, and how the stores behind them are.",
            workers.ROWS,
        ),
    }
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {name: encoder.encode(made.build()) + "\n" for name, made in dashboards.items()}


def outdated_files() -> list[str]:
    """Return the names of files that differ from what `render` returns."""
    return [name for name, text in render().items() if not _is_current(DIRECTORY / name, text)]


def _is_current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def main(arguments: list[str]) -> str | None:
    """Write the files, or return which are outdated."""
    if arguments == ["--check"]:
        outdated = outdated_files()
        return f"Not current: {', '.join(outdated)}. Run script/dashboards." if outdated else None
    for name, text in render().items():
        (DIRECTORY / name).write_text(text)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
