"""The word check of `.ci/words`."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

WORDS = Path(__file__).parents[2] / ".ci" / "words"


def load() -> Any:
    spec = spec_from_loader("words", SourceFileLoader("words", str(WORDS)))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


words = load()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The client is told so.", "told"),
        ("Nothing TELLS how far it was.", "TELLS"),
        ("PostgreSQL went away.", "away"),
        ("served while the catalog is away", "away"),
        ("a Redis that is gone", "gone"),
        ("The row stands until then.", "stands"),
        ("others stand by", "stand by"),
        ("What lies between", "lies"),
        ("an error of ours", "ours"),
        ("It never came from us.", "us"),
        ("Whoever asks too often", "Whoever"),
        ("public to anybody", "anybody"),
        ("hears no more", "no more"),
        ("is no guest any more", "any more"),
        ("as Heroku has it", "as Heroku has it"),
        ("The scan is set aside.", "set aside"),
        ("gives the lease back", "gives the lease back"),
        ("the reward was taken back", "taken back"),
        ("visits are forgotten", "forgotten"),
        ("keeps the lease", "keeps the lease"),
        ("Files are kept on a disk.", "Files are kept"),
        ("kept for 7 days", "kept for 7"),
        ("A player hands it in.", "hands it in"),
        ("a nudge to the workers", "nudge"),
        ("in two colours", "colours"),
        ("The render was cancelled.", "cancelled"),
        ("It is heard no\nmore.", "no more"),
    ],
)
def test_word_is_found(text: str, word: str) -> None:
    assert [" ".join(found.split()) for _, found, _ in words.find_words(text)] == [word]


@pytest.mark.parametrize(
    "text",
    [
        "The bucket is in us-east-1.",
        "US dollars",
        "6 km away, too far away, 30 m away from the code",
        "410 Gone",
        "renders `gone.html`",
        "`told` is the old name.",
        "commit_delay stands for the disk",
        "a leader on standby",
        "no more than 100 rows",
        "Keep-Alive: the connection is kept alive",
        "Keep rules pure.",
        "Forgot password? Forgotten passwords are reset by an operator.",
        "rows inserted by hand in psql",
        "See [the log](docs/told.md) or https://example.org/told.",
        "status, focus, because, use",
        "is canceled and gray",
    ],
)
def test_other_text_passes(text: str) -> None:
    assert list(words.find_words(text)) == []


PYTHON = '''"""A docstring
that says who is told."""

# A comment that goes over the end of no
# more than two lines, and somebody.
FIELD = "told"
SQL = "SELECT told FROM rows -- which is gone"
PATTERN = r"told and said"
log.info("catalog_away")
raise Refused(f"This is {told} by us.")


def test_nobody_sees_it() -> None:
    told = "cache_away"
'''


def test_python_is_read_by_its_tokens() -> None:
    found = sorted((line, word) for line, word, _ in words.find_in_python(PYTHON))
    assert found == [(2, "told"), (5, "somebody"), (7, "gone"), (9, "away"), (10, "us"), (13, "nobody")]


def test_sql_is_read_in_comments_and_literals() -> None:
    sql = "-- Nobody reads it.\nCREATE TABLE told (name text);\nCOMMENT ON TABLE told IS 'told once';\nSELECT 'told';"
    assert [(line, word) for line, word, _ in words.find_in_sql(sql)] == [(1, "Nobody"), (3, "told")]


def test_each_word_is_printed_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text('<p class="gone">\n  {{ told }} No code, or nobody\'s.</p>\n')
    (tmp_path / "fine.md").write_text("A client that exceeds the limit gets 429.\n")
    outcome = subprocess.run(
        [sys.executable, WORDS, "page.html", "fine.md"], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert outcome.returncode == 1
    assert outcome.stdout == "page.html:2: nobody → any client, no client, another worker, public\n"
    clean = subprocess.run([sys.executable, WORDS, "fine.md"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (clean.returncode, clean.stdout) == (0, "")
