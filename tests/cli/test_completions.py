"""Values that a shell and the prompt complete."""

import threading
from collections.abc import Iterator

import pytest
from click.shell_completion import ShellComplete
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from shared.infra import db
from shared.infra.db import Conn
from tests.conftest import Player
from tests.renders.factories import make_codes
from tests.support.callers import Staff
from tests.support.command_line import environment, waymark_json
from tests.support.factories import code_text
from workers.cli import completions
from workers.cli.commands import REPL
from workers.cli.completions import Lookup
from workers.cli.main import waymark as root
from workers.cli.repl import CommandCompleter


@pytest.fixture(autouse=True)
def unpaused() -> Iterator[None]:
    Lookup.paused_until = 0.0
    yield
    Lookup.paused_until = 0.0


def complete(*words: str) -> list[str]:
    """Return the completions of the last word."""
    shell = ShellComplete(root, {}, "waymark", "")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_names_and_ids_are_completed(conn: Conn, staff: Staff, player: Player, slug: str) -> None:
    (code,) = make_codes(conn, staff.org_id, 1)
    text = code_text(conn, code)
    render = waymark_json("renders", "start", slug, "--all", "--no-wait")["render_id"]
    assert complete("codes", "list", slug[:3]) == [slug]
    assert complete("sessions", "list", player.username[:-1].upper()) == [player.username]
    assert complete("organizations", "create", "New", "--owner", player.username) == [player.username]
    assert complete("codes", "show", text[:-1]) == [text]
    assert complete("renders", "watch", "") == [render]
    assert complete("imports", "watch", slug, "") == []
    assert complete("codes", "show", f"{text}%") == []


def test_prompt_completes_the_word_before_the_cursor(conn: Conn, slug: str) -> None:
    with root.make_context("waymark", [], resilient_parsing=True) as context:
        completer = CommandCompleter(context)

        def offered(line: str) -> list[str]:
            return [each.text for each in completer.get_completions(Document(line), CompleteEvent())]

        assert offered("organizations tr") == ["transfer"]
        assert offered("organizations members ") == [slug]
        assert "--dry-run" in offered("codes import --")
        assert offered("codes import x /etc/hostn") == ["ame"]
        assert offered('organizations members "unclosed') == []

        context.meta[REPL] = True
        assert offered("help sessions r") == ["revoke"]
        assert offered("help unknown r") == offered("help sessions revoke r") == []
        assert offered("waymark sessions r") == ["revoke"]


def test_lookup_without_a_store_is_silent_and_pauses(
    conn: Conn, player: Player, capsys: pytest.CaptureFixture[str]
) -> None:
    with environment(DATABASE_URL="postgresql://127.0.0.1:9/x"):
        assert complete("users", "export", "") == []
    assert complete("users", "export", player.username) == []  # the pause
    Lookup.paused_until = 0.0
    with environment(WORKER_THREADS="none"):
        assert complete("users", "export", "") == []
    assert capsys.readouterr() == ("", "")


def test_lookup_that_gets_no_answer_ends(conn: Conn, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()
    monkeypatch.setattr(completions, "LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(db, "dedicated_connection", never.wait)
    assert complete("users", "export", "") == []
    assert Lookup.paused_until > 0
    never.set()
