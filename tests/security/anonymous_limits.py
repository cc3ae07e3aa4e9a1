"""Attacks on the rate limits: the networks of one household, many addresses on one username, unlimited tokens, scans in
batches, and a body that costs more to read than a password to verify."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from shared.accounts import passwords
from shared.settings import settings
from tests.security.attack import Attack, Scene, replaced
from tests.support.callers import bearer
from web.app import create_app
from web.http import rate_limits

GUESSES = 4
Send = Callable[..., int]


@contextmanager
def limited(**budgets: str) -> Iterator[Send]:
    """An application with rate limits and no proxy. Sends a request and returns its status."""
    set_to = {"RATE_LIMITS_ENABLED": "true", "TRUSTED_PROXIES": "0"}
    set_to |= {f"RATE_LIMIT_{name}": limit for name, limit in budgets.items()}
    with patch.dict(os.environ, set_to), patch.object(passwords, "verify_password", lambda *_: False):
        settings.cache_clear()
        try:
            client = create_app().test_client()

            def send(method: str, path: str, address: str = "203.0.113.7", **options: Any) -> int:
                found = client.open(path, method=method, environ_base={"REMOTE_ADDR": address}, **options)
                return int(found.status_code)

            yield send
        finally:
            settings.cache_clear()


def guess(send: Send, name: str, **options: Any) -> int:
    return send("POST", "/auth/login", json={"username": name, "password": "wrong horse battery"}, **options)


def own_network(_scene: Scene) -> bool:
    """Guessing goes on from each of the networks of one household."""
    with limited(LOGIN="2 per minute") as send:
        return all(guess(send, f"nobody{n}", address=f"2001:db8:1:{n:x}::7") == 401 for n in range(GUESSES))


def many_addresses(_scene: Scene) -> bool:
    """One name is guessed at from everywhere, and spelled in every way."""
    with limited(LOGIN_PER_USERNAME="2 per 5 minutes") as send:
        names = ("ada", "ADA", "Ada", "aDa")
        return all(guess(send, name, address=f"203.0.113.{n}") == 401 for n, name in enumerate(names))


def forms(_scene: Scene) -> bool:
    """One name is guessed at with forms, which the limit of the name does not see."""
    with limited(LOGIN_PER_USERNAME="2 per 5 minutes") as send:
        form = {"username": "ada", "password": "wrong horse battery"}
        return all(send("POST", "/auth/login", address=f"203.0.113.{n}", data=form) == 401 for n in range(GUESSES))


def locked_out(_scene: Scene) -> bool:
    """Return True if wrong passwords from one address keep the owner from logging in at another."""
    with limited(LOGIN_PER_USERNAME="15 per hour") as send:
        for _ in range(20):
            guess(send, "ada")
        return guess(send, "ada", address="198.51.100.7") == 429


def guests_of_one_address(_scene: Scene) -> bool:
    with limited(GUEST="2 per hour") as send:
        return all(send("POST", "/auth/guest") == 201 for _ in range(GUESSES))


def limit_of(name: str) -> str:
    """Return the setting of a limit, except that log-ins are not counted per username and address."""
    return "" if name == "login_per_username_and_address" else str(getattr(settings(), f"rate_limit_{name}"))


def common_password(scene: Scene) -> bool:
    """Return True if an account can have a password that an attacker tries first."""
    return any(
        scene.lets("POST", "/auth/register", None, {"username": "grace", "password": password})
        for password in ("12345678", " " * 8, "password1", "Grace123")
    )


def endless_tokens(_scene: Scene) -> bool:
    """Made-up tokens are all looked at."""
    with limited(ANONYMOUS="2 per minute") as send:
        return all(send("GET", "/users/me", headers=bearer(f"made-up-{n}")) == 401 for n in range(GUESSES))


def scans_in_batches(scene: Scene) -> bool:
    """Twenty times the scans that the limit allows, a hundred in a request."""
    body = {"sent_at": "2026-02-12T10:00:00Z", "scans": [{}] * 100}
    with limited(SCAN="10 per minute") as send:
        headers = scene.attacker.member.headers
        return all(send("POST", "/scans/batch", json=body, headers=headers) == 202 for _ in range(10))


def costly_body(scene: Scene) -> bool:
    """A log-in is read to its end, however long it is."""
    body = '{"username": [' + "0," * 2**18 + "0]}"
    answer = scene.client.post("/auth/login", data=body, content_type="application/json")
    return bool(answer.status_code != 413)


def any_length(scene: Scene) -> Any:
    return replaced(scene.app.view_functions["accounts.log_in"], "max_body_bytes", 2**20)(scene)


ATTACKS = [
    Attack(
        "rotating through a household's networks against the rate limits",
        own_network,
        replaced(rate_limits, "IPV6_PREFIX_LENGTH", 64),
    ),
    Attack(
        "guessing passwords of one username from many addresses",
        many_addresses,
        replaced(rate_limits, "PER_USERNAME_ENDPOINTS", set()),
    ),
    Attack("guessing a common password", common_password, replaced(passwords, "is_too_common", lambda *_: False)),
    Attack("locking an owner out with wrong passwords", locked_out, replaced(rate_limits, "_limit", limit_of)),
    Attack(
        "an unlimited number of guests",
        guests_of_one_address,
        replaced(rate_limits, "LIMIT_BY_ENDPOINT", {}),
    ),
    Attack(
        "guessing passwords of one username with forms",
        forms,
        replaced(rate_limits, "is_form", lambda: False),
    ),
    Attack(
        "more scans than the limit allows, in batches", scans_in_batches, replaced(rate_limits, "BATCH_ENDPOINTS", {})
    ),
    Attack(
        "an unlimited number of invented tokens",
        endless_tokens,
        replaced(rate_limits, "rate_limit_key_of_credentials", lambda **_: uuid4()),
    ),
    Attack("a log-in of half a megabyte", costly_body, any_length),
]
