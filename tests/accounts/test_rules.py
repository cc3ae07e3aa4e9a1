"""Rules for email addresses."""

import pytest

from shared.accounts.rules import is_email


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ada@example.com", True),
        ("ada+codes@sub.example.com", True),
        ("ädå@exämple.nl", True),
        ("ada@localhost", True),
        ("", False),
        ("ada", False),
        ("@example.com", False),
        ("ada@", False),
        ("ada@b@example.com", False),
        ("ada lovelace@example.com", False),
        ("ada@example.com\n", False),
        ("ada@example.com\nBcc: all@example.com", False),
        ("a" * 64 + "@" + "b" * 189, True),
        ("a" * 64 + "@" + "b" * 190, False),
    ],
)
def test_is_email(text: str, expected: bool) -> None:
    assert is_email(text) is expected
