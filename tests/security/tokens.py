"""Attacks on credentials: tokens that are forged, misused or kept, names that a stopwatch finds out, and guesses."""

from collections.abc import Callable
from unittest.mock import patch

import time_machine
from redis import Redis

from shared.accounts import passwords, sessions
from shared.errors import Unauthenticated
from shared.organizations import members
from tests.accounts.forged_tokens import changed, claims_of, signed, unsigned
from tests.conftest import PASSWORD
from tests.security import anonymous_limits
from tests.security.attack import Attack, Attempt, Scene, all_of, replaced, without_condition
from tests.support.callers import SignedInPlayer, bearer
from web.http import credentials
from web.realtime import websockets

LIST = "/api/organizations"


def opens(scene: Scene, token: str) -> bool:
    return bool(scene.client.get(LIST, headers=bearer(token)).status_code == 200)


def presenting(forge: Callable[[SignedInPlayer], str]) -> Attempt:
    """The attacker makes a token out of what they know of the victim's."""
    return lambda scene: opens(scene, forge(scene.victim.owner))


def wrong_key(person: SignedInPlayer) -> str:
    return signed(claims_of(person.access_token), key=b"k" * 32)


def too_late(scene: Scene) -> bool:
    """A token that was good a moment ago, and is remembered as such."""
    token = scene.victim.owner.access_token
    assert opens(scene, token)
    with time_machine.travel(claims_of(token)["exp"] + 1, tick=False):
        return opens(scene, token)


def after_logging_out(scene: Scene) -> bool:
    """A token that was copied before its owner logged out, on routes that ask a player and on those that ask a role."""
    owner = scene.victim.owner
    assert scene.lets("POST", "/auth/logout", owner)
    return opens(scene, owner.access_token) or scene.lets("GET", scene.victim.path, owner)


def after_its_owner(scene: Scene) -> bool:
    """A refresh token that was copied, and used after its owner used it."""
    header = bearer(scene.victim.owner.refresh_token)
    assert scene.client.post("/auth/refresh", headers=header).status_code == 200
    return bool(scene.client.post("/auth/refresh", headers=header).status_code == 200)


def before_its_owner(scene: Scene) -> bool:
    """A refresh token that was copied and used first: what the thief got is good even when its owner comes."""
    header = bearer(scene.victim.owner.refresh_token)
    stolen = scene.client.post("/auth/refresh", headers=header).json
    assert scene.client.post("/auth/refresh", headers=header).status_code == 401
    return opens(scene, stolen["access_token"])


def ticket_used_twice(scene: Scene) -> bool:
    """A WebSocket ticket read from a log: it was used before."""
    ticket = scene.ask("POST", "/ws/ticket", scene.victim.owner).json["ticket"]
    with scene.app.test_request_context(f"/ws/{scene.victim.owner.id}?ticket={ticket}"):
        websockets._authenticate()
        try:
            websockets._authenticate()
        except Unauthenticated:
            return False
    return True


def telling_names_apart(scene: Scene) -> bool:
    """Whether a login does other work, or says other words, for a name that exists. Work is counted, not timed: what
    takes time is argon2. How alike the times are is measured by `script/bench logins`."""
    scene.ask("POST", "/auth/register", json={"username": "known", "password": PASSWORD})
    passwords.verify_password("", None)  # the first login of a process makes the decoy
    seen = []
    for name in ("known", "unknown"):
        with patch.object(passwords, "HASHER", wraps=passwords.HASHER) as hasher:
            answer = scene.ask("POST", "/auth/login", json={"username": name, "password": "not the password"})
        costs = [call.args[0].split("$")[1:4] for call in hasher.verify.call_args_list]
        told = {key: value for key, value in answer.json.items() if key != "request_id"}
        seen.append((answer.status_code, told, costs, hasher.hash.call_count, sorted(answer.headers.keys())))
    return seen[0] != seen[1]


UNSIGNED = replaced(credentials, "_verified", lambda token, _key: claims_of(token))
ANY_TYPE = replaced(credentials, "_verified", lambda token, _key: claims_of(token) | {"type": "access"})
LASTING = replaced(credentials, "_has_expired", lambda _claims: False)
NEVER_REVOKED = all_of(
    without_condition(sessions.is_session_active, "revoked_at IS NULL"),
    without_condition(members.get_session_and_role, "revoked_at IS NULL"),
)

ATTACKS = [
    Attack("JWT with alg none", presenting(unsigned), UNSIGNED),
    Attack("JWT signed with another key", presenting(wrong_key), UNSIGNED),
    Attack(
        "refresh token as access token",
        presenting(lambda person: person.refresh_token),
        ANY_TYPE,
    ),
    Attack(
        "JWT without exp",
        presenting(changed(exp=None)),
        all_of(replaced(credentials, "REQUIRED_CLAIMS", ["type", "sub", "family"]), LASTING),
    ),
    Attack("expired JWT", too_late, LASTING),
    Attack("revoked JWT", after_logging_out, NEVER_REVOKED),
    Attack(
        "refresh token used twice",
        after_its_owner,
        without_condition(sessions.rotate_refresh_token, "generation <= %(generation)s"),
    ),
    Attack(
        "refresh token used before its owner",
        before_its_owner,
        replaced(sessions, "revoke_session", lambda *_: False),
    ),
    Attack("socket ticket used twice", ticket_used_twice, replaced(Redis, "getdel", Redis.get)),
    Attack(
        "login timing for known and unknown usernames",
        telling_names_apart,
        replaced(passwords, "_dummy_hash", lambda: ""),
    ),
    *anonymous_limits.ATTACKS,
]
