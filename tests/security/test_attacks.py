"""Each attack by name: it fails; and with its guard taken out it succeeds, so the attempt is a real one.

docs/security.md describes each attack and its guard.
"""

import re

import pytest
from flask import Flask

from shared.infra.db import Conn
from tests.security import (
    address_rotation,
    browser_sessions,
    command_line,
    content,
    files,
    keys,
    logs,
    mass_assignment,
    membership,
    metrics,
    older_tokens,
    production,
    quest_tracking,
    quotas,
    redemptions,
    rotating_codes,
    scans,
    sockets,
    staff_pages,
    staff_views,
    tenancy,
    tokens,
)
from tests.security.attack import Attack, Scene
from tests.security.source import CHECKOUT
from tests.support.callers import make_staff
from web.http.credentials import _verified

SUBJECTS = (
    tokens,
    browser_sessions,
    older_tokens,
    quest_tracking,
    keys,
    quotas,
    scans,
    redemptions,
    rotating_codes,
    tenancy,
    staff_views,
    staff_pages,
    membership,
    mass_assignment,
    sockets,
    content,
    files,
    address_rotation,
    logs,
    metrics,
    production,
    command_line,
)
ATTACKS: list[Attack] = [attack for subject in SUBJECTS for attack in subject.ATTACKS]
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


@pytest.fixture
def scene(app: Flask, conn: Conn) -> Scene:
    _verified.cache_clear()
    return Scene(app, app.test_client(), conn, make_staff(app, conn), make_staff(app, conn))


@every_attack
def test_the_attack_fails(scene: Scene, attack: Attack) -> None:
    assert not attack.attempt(scene)


@every_attack
def test_the_attack_succeeds_where_its_guard_is_taken_out(scene: Scene, attack: Attack) -> None:
    with attack.without_guard(scene):
        assert attack.attempt(scene)


ELSEWHERE = {
    "idle sockets beyond the limit",
    "400 incomplete request heads",
    "a deployment key that sends another command, or an option, in place of a version",
    "a tag that is an option of ssh on the runner, and a server with another host key",
}
"""Shown by real processes: test_idle_sockets.py, and test_slow_clients.py, test_deploy.py and test_ssh.py elsewhere."""


def test_documented_attacks_equal_tested_attacks() -> None:
    text = (CHECKOUT / "docs" / "security.md").read_text().partition("## Attacks")[2].partition("## What operators")[0]
    told = re.findall(r"^\| ([^|]+) \| [^|]+ \| (?:API\d+(?:, )?)+ \| [^|]+ \|$", text, re.MULTILINE)
    assert len(told) == len(set(told))
    assert set(told) == {attack.name for attack in ATTACKS} | ELSEWHERE


def test_files_and_names_in_the_documentation_exist() -> None:
    """A name in backticks after a file is in that file."""
    text = (CHECKOUT / "docs" / "security.md").read_text()
    missing = []
    for row in re.findall(r"^\|.*\|$", text, re.MULTILINE):
        file = None
        for quoted in re.findall(r"`([^`]+)`", row):
            if re.fullmatch(r"(?:web|shared|tests|script)/[\w/]+(?:\.py)?", quoted):
                file = CHECKOUT / quoted
                missing += [] if file.exists() else [quoted]
            elif file and file.is_file() and re.fullmatch(r"[A-Za-z_.]+", quoted):
                name = quoted.rpartition(".")[2]
                missing += [] if re.search(rf"\b{name}\b", file.read_text()) else [f"{file.name}: {name}"]
    assert missing == []
