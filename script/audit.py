"""Whether the packages in use are the ones that were chosen, go together, and have no known vulnerability."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[1]
COMPILED = ("requirements.txt", "requirements-dev.txt")
REQUIREMENT = re.compile(r"^([A-Za-z0-9][^\\\n]*)(.*\n(?:[ ].*\n?)*)", re.MULTILINE)
"""One that is compiled: itself, and the indented lines that belong to it."""
PATIENCE_SECONDS = 300


def main() -> int:
    failures = [*contradictions(), *deviations(), *vulnerabilities()]
    for failure in failures:
        print(f"  {failure}")
    return 1 if failures else 0


def contradictions() -> Iterator[str]:
    """What pip finds missing or not fitting."""
    found = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    if found.returncode:
        yield from (found.stdout + found.stderr).strip().splitlines()


def deviations() -> Iterator[str]:
    """Requirements that name no hash, and packages that are here in another version. What has its version was checked
    against its hashes when it was installed."""
    for name in COMPILED:
        for text, rest in REQUIREMENT.findall((CHECKOUT / name).read_text()):
            wanted = Requirement(text)
            if "--hash=sha256:" not in rest:
                yield f"{name}: {wanted.name} has no hash"
            if wanted.marker is None or wanted.marker.evaluate():
                installed = version(wanted.name)
                if not wanted.specifier.contains(installed, prereleases=True):
                    yield f"{wanted.name} is installed as {installed}, and compiled as {wanted.specifier}"


def vulnerabilities() -> Iterator[str]:
    """What is known of any package. Told apart from a network that does not answer by the report, which is written only
    when every package was asked for."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        asking = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
        asking += ["--format", "json", "--output", str(report), "--timeout", "10"]
        for name in COMPILED:
            asking += ["--requirement", name]
        try:
            asked = subprocess.run(asking, cwd=CHECKOUT, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
            told = asked.stderr.strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            told = ["no answer in time"]
        found = json.loads(report.read_text()) if report.exists() and report.stat().st_size else None
    if found is None:
        print(f"  Could not ask for known vulnerabilities, going on without: {''.join(told)[:200]}")
        return
    print(f"  Asked for known vulnerabilities of {len(found['dependencies'])} packages.")
    yield from known(found)


def known(report: dict[str, list[dict[str, object]]]) -> Iterator[str]:
    """The vulnerabilities in a report of pip-audit's."""
    for package in report["dependencies"]:
        vulns = package.get("vulns")
        for each in vulns if isinstance(vulns, list) else ():
            fixed = ", ".join(each.get("fix_versions") or ()) or "no version"
            yield f"{package['name']} {package['version']}: {each['id']}, fixed in {fixed}"


if __name__ == "__main__":
    sys.exit(main())
