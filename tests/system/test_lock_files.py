"""The lock files name every dependency, and pip installs the releases that they name, whatever an index offers."""

from __future__ import annotations

import base64
import ensurepip
import hashlib
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHECKOUT = Path(__file__).parents[2]
LOCK_FILES = {
    "requirements.txt": ["requirements.in"],
    "requirements-dev.txt": ["requirements.in", "requirements-tracing.in", "requirements-dev.in"],
    "requirements-tracing.txt": ["requirements-tracing.in"],
}
PYTHONS = ["3.11.0", "3.12.0", "3.13.0"]
PIN = re.compile(r"^([A-Za-z0-9][^\\\n]*)((?:\\\n +--hash=sha256:[0-9a-f]{64} ?)*)$", re.MULTILINE)
NEWER = "9999.0"
NEEDED_BY_PYTEST_COV = {"coverage", "iniconfig", "packaging", "pluggy", "pygments", "pytest", "pytest-cov"}
FROM_VENV = {"pip", "setuptools"}
"""Packages that a new environment may contain."""


@dataclass(frozen=True)
class Pin:
    requirement: Requirement
    has_hash: bool

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        (specifier,) = self.requirement.specifier
        assert specifier.operator == "=="
        return specifier.version

    def applies(self, environment: dict[str, str]) -> bool:
        marker = self.requirement.marker
        return marker is None or marker.evaluate(environment)


def read_pins(text: str) -> list[Pin]:
    return [Pin(Requirement(line), bool(hashes)) for line, hashes in PIN.findall(text)]


def here() -> dict[str, str]:
    return cast("dict[str, str]", default_environment())


def environment_of(python: str) -> dict[str, str]:
    return {**here(), "python_full_version": python, "python_version": python.rpartition(".")[0]}


# ---- the lock files are complete ----


@cache
def requirements_of(name: str) -> tuple[Requirement, ...]:
    """Return what the installed package `name` requires on any Python; nothing if it is not installed here."""
    try:
        return tuple(Requirement(line) for line in metadata.requires(name) or ())
    except metadata.PackageNotFoundError:
        return ()


@cache
def is_installed(name: str) -> bool:
    return bool(list(metadata.distributions(name=name)))


def wanted_directly(inputs: Iterable[str]) -> list[Requirement]:
    lines = [line.partition("#")[0].strip() for name in inputs for line in (CHECKOUT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def find_gaps(pins: list[Pin], direct: list[Requirement], python: str) -> Iterator[str]:
    """Follow requirements from `direct`. Yield each that no pin satisfies, and each pin that nothing requires."""
    environment = environment_of(python)
    pinned = {pin.name: pin for pin in pins if pin.applies(environment)}
    if len(pinned) < sum(pin.applies(environment) for pin in pins):
        yield "a package is pinned twice"
    pending = [(requirement, "", "the input file") for requirement in direct]
    followed: set[tuple[str, str]] = set()
    while pending:
        requirement, extra, parent = pending.pop()
        if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        pin = pinned.get(name)
        if pin is None:
            yield f"{parent} requires {requirement}, which is not pinned"
        elif not requirement.specifier.contains(pin.version, prereleases=True):
            yield f"{parent} requires {requirement}, but {pin.requirement} is pinned"
        for each in ("", *requirement.extras):
            if (name, each) not in followed:
                followed.add((name, each))
                pending += [(needed, each, name) for needed in requirements_of(name)]
    reached = {name for name, _ in followed}
    # What a package requires is known only where it is installed, and some are on other versions of Python alone.
    if all(is_installed(name) for name in reached):
        yield from (f"nothing requires {name}" for name in pinned.keys() - reached)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", LOCK_FILES)
def test_lock_file_is_complete(lock: str, python: str) -> None:
    pins = read_pins((CHECKOUT / lock).read_text())
    assert list(find_gaps(pins, wanted_directly(LOCK_FILES[lock]), python)) == []


@pytest.mark.parametrize("python", PYTHONS)
def test_each_missing_pin_is_found(python: str) -> None:
    environment = environment_of(python)
    pins = [pin for pin in read_pins((CHECKOUT / "requirements-dev.txt").read_text()) if pin.applies(environment)]
    direct = wanted_directly(LOCK_FILES["requirements-dev.txt"])
    unnoticed = [pin.name for pin in pins if not any(find_gaps([p for p in pins if p != pin], direct, python))]
    assert len(pins) > 100
    assert unnoticed == []


def test_installed_packages_have_the_locked_versions() -> None:
    pins = [pin for pin in read_pins((CHECKOUT / "requirements-dev.txt").read_text()) if pin.applies(here())]
    assert {pin.name: metadata.version(pin.name) for pin in pins} == {pin.name: pin.version for pin in pins}


@pytest.mark.parametrize("lock", LOCK_FILES)
def test_each_pin_has_a_hash(lock: str) -> None:
    text = (CHECKOUT / lock).read_text()
    pins = read_pins(text)
    assert len(pins) == len(re.findall(r"^[A-Za-z0-9]", text, re.MULTILINE))
    assert [pin.name for pin in pins if not pin.has_hash] == []


# ---- pip installs what they name ----


def build_wheel(folder: Path, name: str, version: str, requires: Iterable[str], extras: Iterable[str]) -> str:
    """Write a wheel that holds its metadata alone. Return its SHA-256."""
    stem = f"{name.replace('-', '_')}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {line}" for line in requires] + [f"Provides-Extra: {extra}" for extra in extras]
    files = {
        f"{stem}.dist-info/METADATA": "\n".join(lines) + "\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = []
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            records.append(f"{path},sha256={digest},{len(text.encode())}\n")
        archive.writestr(f"{stem}.dist-info/RECORD", "".join(records) + f"{stem}.dist-info/RECORD,,\n")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an index that offers each locked release and a newer one, and beside it a copy of the lock file.

    Each release requires what the real one requires. The copy has the hashes of the wheels in the index.
    """
    folder = tmp_path_factory.mktemp("index")
    lines = []
    for pin in read_pins((CHECKOUT / "requirements-dev.txt").read_text()):
        # An empty pip could not install the rest.
        if not pin.applies(here()) or pin.name == "pip":
            continue
        real = metadata.metadata(pin.name)
        for version in (pin.version, NEWER):
            digest = build_wheel(
                folder, pin.name, version, real.get_all("Requires-Dist", []), real.get_all("Provides-Extra", [])
            )
            if version == pin.version:
                lines.append(f"{pin.name}=={version} --hash=sha256:{digest}\n")
    (folder / "requirements-dev.txt").write_text("".join(lines))
    return folder


def offline(index: Path) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "WAYMARK_"))}
    return {**environment, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}


@pytest.fixture(scope="module")
def venv(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the copied lock file with `script/bootstrap`."""
    venv = tmp_path_factory.mktemp("environment") / "venv"
    outcome = subprocess.run(
        [CHECKOUT / "script" / "bootstrap", index / "requirements-dev.txt", "-c", ""],
        env={**offline(index), "WAYMARK_VENV": str(venv), "WAYMARK_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode == 0, outcome.stderr
    return venv


def test_locked_releases_are_installed_although_the_index_has_newer_ones(index: Path, venv: Path) -> None:
    (site,) = venv.glob("lib/python*/site-packages")
    installed = {each.name: each.version for each in metadata.distributions(path=[str(site)])}
    locked = dict(line.split()[0].split("==") for line in (index / "requirements-dev.txt").read_text().splitlines())
    assert {name: installed[name] for name in locked} == locked
    assert installed.keys() - locked.keys() <= FROM_VENV


@pytest.mark.skipif(Version(ensurepip.version()) >= Version("23.3"), reason="pip 23.3 and later prefer pinned releases")
def test_without_no_deps_pip_considers_newer_releases_and_fails(index: Path, venv: Path, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lines = (index / "requirements-dev.txt").read_text().splitlines(keepends=True)
    lock.write_text("".join(line for line in lines if line.partition("==")[0] in NEEDED_BY_PYTEST_COV))
    outcome = subprocess.run(
        [venv / "bin" / "pip", "install", "--dry-run", "--ignore-installed", "--require-hashes", "--requirement", lock],
        env=offline(index),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome.returncode != 0
    assert "In --require-hashes mode, all requirements must have their versions pinned" in outcome.stderr
    assert "coverage[toml]" in outcome.stderr
