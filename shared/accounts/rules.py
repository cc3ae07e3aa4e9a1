"""Rules for usernames, passwords and email addresses. Pure."""

import re

USERNAME = r"^[A-Za-z0-9_.\-]{3,32}$"
PASSWORD_CHARACTERS = (8, 256)
"""Minimum and maximum length."""
EMAIL = r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}$"
"""One @ with text on both sides, at most 254 characters (RFC 5321, 4.5.3.1). Only a message could prove more."""


def is_email(text: str) -> bool:
    return re.fullmatch(EMAIL, text) is not None


def is_username(text: str) -> bool:
    return re.fullmatch(USERNAME, text) is not None
