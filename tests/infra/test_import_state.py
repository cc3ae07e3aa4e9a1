"""Importing a module of web or shared reads no settings, starts no thread and opens no file or socket."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("web", "shared")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name not in ("__init__.py", "gunicorn_conf.py")
]
READS_SETTINGS = {"web/app.py", "web/gunicorn_conf.py", "web/gunicorn_worker.py"}

IMPORT_ALL = """
import importlib, os, sys, threading

def stop(event, arguments):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.fork"):
        raise RuntimeError(f"{event} {arguments}")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        raise RuntimeError(f"{event} {arguments}")

open_files = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
sys.addaudithook(stop)
for name in sys.argv[1:]:
    importlib.import_module(name)
assert threading.active_count() == 1, threading.enumerate()
assert open_files in (None, set(os.listdir("/proc/self/fd"))), "a file or socket stayed open"

from shared.settings import settings
assert settings.cache_info().currsize == 0, "an import read the settings"
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run code without any environment variable, so that reading a setting fails."""
    command = (sys.executable, "-B", "-c", code, *arguments)
    return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)


def test_imports_need_no_settings_and_open_nothing() -> None:
    assert len(MODULES) > 150
    finished = run(IMPORT_ALL, *MODULES)
    assert finished.returncode == 0, finished.stderr


def test_reading_settings_without_environment_fails() -> None:
    """The negative control of the test above."""
    assert run("from shared.settings import settings; settings()").returncode != 0


@pytest.mark.parametrize(
    "statement",
    ["import socket; socket.create_server(('127.0.0.1', 0))", "open('written', 'w')"],
    ids=["socket", "file"],
)
def test_audit_hook_notices_what_an_import_opens(tmp_path: Path, statement: str) -> None:
    (tmp_path / "opens.py").write_text(statement)
    assert "RuntimeError" in run(f"import sys; sys.path.append({str(tmp_path)!r})\n{IMPORT_ALL}", "opens").stderr


def test_only_the_application_and_gunicorn_read_settings() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "web").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "shared.settings"
        if {alias.name for alias in node.names} & {"settings"}
    }
    assert readers == READS_SETTINGS
