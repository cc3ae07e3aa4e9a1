"""The audit of dependencies: fails on what it finds, and never because a machine is offline."""

import subprocess
from pathlib import Path

import pytest

from script import audit

REPORT: dict[str, list[dict[str, object]]] = {
    "dependencies": [
        {"name": "sound", "version": "1.0", "vulns": []},
        {"name": "skipped", "skip_reason": "not on PyPI"},
        {"name": "holed", "version": "2.0", "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["2.1"]}]},
    ]
}


def test_a_known_vulnerability_is_named() -> None:
    assert list(audit.known(REPORT)) == ["holed 2.0: PYSEC-2026-1, fixed in 2.1"]


def test_a_network_that_does_not_answer_is_told_and_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offline = subprocess.CompletedProcess([], 1, "", "Traceback\nConnectionError: name not known")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: offline)
    assert list(audit.vulnerabilities()) == []
    assert "Could not ask" in capsys.readouterr().out


def test_a_requirement_without_a_hash_or_of_another_version_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "requirements.txt").write_text(
        "numpy==0.1 ; python_version < '3'\npytest==0.1 ; python_version > '3'\nflask==9.9 \\\n    --hash=sha256:0\n"
    )
    monkeypatch.setattr(audit, "CHECKOUT", tmp_path)
    monkeypatch.setattr(audit, "COMPILED", ("requirements.txt",))
    found = list(audit.deviations())
    assert found[:2] == ["requirements.txt: numpy has no hash", "requirements.txt: pytest has no hash"]
    assert [line.split()[0] for line in found[2:]] == ["pytest", "flask"]


def test_what_is_compiled_has_hashes() -> None:
    assert [found for found in audit.deviations() if "no hash" in found] == []
