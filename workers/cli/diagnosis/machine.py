"""Checks of this machine and its settings: PUBLIC_URL, disks, and the directory for files."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import psycopg_pool

from shared.infra.storage import marker
from shared.infra.storage.base import StorageError
from shared.infra.storage.factory import storage
from shared.settings import settings
from shared.settings_checks import find_production_warnings
from workers.cli.diagnosis.findings import Finding, fault, ok, warning

MIN_FREE_BYTES = 256 * 2**20
"""A render of 100,000 codes needs about this much."""
LOW_FREE_BYTES, LOW_FREE_SHARE = 5 * 2**30, 0.1
PROBE_BYTES = 2**20


def check_settings() -> Iterator[Finding]:
    """Check the settings: PUBLIC_URL, and values that production rarely means."""
    url = settings().public_base_url
    host = urlsplit(url).hostname or ""
    if is_loopback(host):
        yield fault(
            "PUBLIC_URL",
            f"PUBLIC_URL is {url}: printed codes lead to the phone that scans them, not to this server",
            "Set PUBLIC_URL to the address that phones reach, such as https://codes.example, before you print codes.",
        )
    else:
        yield ok("PUBLIC_URL", f"Printed codes lead to {url}")
    if settings().is_production:
        for message in find_production_warnings(settings()):
            name = message.split(maxsplit=1)[0]
            yield warning("settings", message, f"Change {name}, or ignore this if it is intended.")
    else:
        yield ok("settings", "The settings are valid, for WAYMARK_ENV=development")


def is_loopback(host: str) -> bool:
    """Return whether an address with this host leads every machine to itself."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def check_files() -> Iterator[Finding]:
    """Check that this process has the directory or bucket for files that the installation uses."""
    try:
        if settings().files_s3_bucket is not None:
            next(iter(storage().list_files("renders/")), None)
            yield ok("files", f"The bucket {settings().files_s3_bucket} answers")
        elif marker.is_shared(storage()):
            yield ok("files", f"{settings().files_path} is the directory of this installation")
        else:
            yield fault(
                "files",
                f"{settings().files_path} is not the directory that the installation uses",
                "Mount the shared directory, or set FILES_S3_BUCKET. After a move, run `waymark files adopt`.",
            )
    except StorageError as error:
        yield fault("files", f"Files are unavailable: {error}", "Check the permissions, or the FILES_S3_ settings.")
    except psycopg_pool.PoolTimeout as error:
        yield fault("files", f"DATABASE_URL does not answer: {error}", "Check DATABASE_URL.")


def check_disks() -> Iterator[Finding]:
    """Check the disks of files and of temporary files. A disk that has both is reported once if it is full."""
    reported = set()
    for purpose, directory in _directories().items():
        finding = check_disk(purpose, directory, probe=True)
        if finding.state == "ok" or _device(directory) not in reported:
            yield finding
        if finding.state != "ok":
            reported.add(_device(directory))


def check_postgresql_disk(directory: Path) -> Iterator[Finding]:
    """Check the disk of a PostgreSQL on this machine, unless it is one of the others."""
    if _device(directory) not in map(_device, _directories().values()):
        yield check_disk("PostgreSQL", directory, probe=False)


def check_disk(purpose: str, directory: Path, *, probe: bool) -> Finding:
    """Check the free space of a directory's disk. With `probe`, write a file of 1 MiB and delete it."""
    component = f"disk of {purpose}"
    remedy = f"Free space on the disk of {directory}, or enlarge it."
    existing = _existing(directory)
    try:
        usage, inodes = shutil.disk_usage(existing), os.statvfs(existing)
        free = f"{usage.free / 2**30:,.1f} GiB free of {usage.total / 2**30:,.1f} GiB on the disk of {directory}"
        if probe:
            with tempfile.TemporaryFile(dir=existing, prefix="doctor-") as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
    except OSError as error:
        return fault(component, f"{directory} cannot be written: {error.strerror}", remedy)
    if usage.free < MIN_FREE_BYTES or (inodes.f_files and not inodes.f_favail):
        return fault(component, f"The disk is full: {free}", remedy)
    if usage.free < min(LOW_FREE_BYTES, LOW_FREE_SHARE * usage.total):
        return warning(component, f"The disk is almost full: {free}", remedy)
    return ok(component, free)


def _existing(directory: Path) -> Path:
    """Return the directory, or its nearest parent that exists."""
    return next(each for each in (directory, *directory.absolute().parents) if each.exists())


def _directories() -> dict[str, Path]:
    """Return the directories that Waymark writes on this machine, by purpose."""
    directories = {"temporary files": Path(tempfile.gettempdir())}
    if settings().files_s3_bucket is None:
        directories["files"] = settings().files_path
    return directories


def _device(directory: Path) -> int:
    return _existing(directory).stat().st_dev
