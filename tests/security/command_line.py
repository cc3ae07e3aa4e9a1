"""Attacks on operators at the command line, through names that players and organizations choose."""

from shared.organizations import api_keys, store
from shared.organizations.api_keys import NewApiKey
from tests.security.attack import Attack, Scene, replaced
from tests.support.command_line import run
from workers.cli import tables

ESCAPES = "\x1b]0;owned\x07\x1b[2J"


def controls_the_terminal(scene: Scene) -> bool:
    """The name of a key clears the screen of the operator who lists keys, and renames the window."""
    api_keys.add(scene.conn, scene.attacker.org_id, NewApiKey.new(), name=ESCAPES, scopes=["scan"])
    return "\x1b" in run("keys", "list", store.get_slug(scene.conn, scene.attacker.org_id)).stdout


ATTACKS = [
    Attack(
        "ANSI in a name at the command line", controls_the_terminal, replaced(tables, "printable", lambda text: text)
    ),
]
