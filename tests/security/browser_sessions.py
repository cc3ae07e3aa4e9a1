"""Attacks on browser sessions: writes from other sites, cookies of another kind, links to other sites."""

from typing import Any

from shared.accounts import sessions
from shared.errors import Unauthenticated
from shared.infra.redis import client as redis_client
from shared.organizations import members
from tests.accounts.forged_tokens import claims_of
from tests.conftest import PASSWORD
from tests.security.attack import Attack, Attempt, Scene, all_of, replaced, without_condition
from web.api import browser_sessions
from web.http import auth, credentials
from web.pages import accounts as account_pages
from web.realtime import websockets

SAME = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}
SECRET = "https://evil.example"


def browser(scene: Scene, username: str = "victim") -> Any:
    """Return a browser in which the victim is signed in."""
    client = scene.app.test_client()
    body = {"username": username, "password": PASSWORD}
    assert client.post("/session/register", json=body, headers=SAME).status_code == 201
    return client


def writing(**headers: str) -> Attempt:
    """A page of another site makes the victim's browser create an organization."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def attempt(scene: Scene) -> bool:
        response = browser(scene).post("/api/organizations", json={"name": "Trap"}, headers=named)
        return bool(response.status_code == 201)

    return attempt


def signing_in_the_victim(scene: Scene) -> bool:
    """The attacker signs the victim's browser in to their own account, and sees what the victim does there."""
    browser(scene, "attacker")
    victim = scene.app.test_client()
    body = {"username": "attacker", "password": PASSWORD}
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": SECRET}
    return bool(victim.post("/session", json=body, headers=headers).status_code == 201)


def token_of(client: Any) -> str:
    cookie = client.get_cookie("waymark")
    assert cookie is not None
    return str(cookie.value)


def cookie_as_bearer(scene: Scene) -> bool:
    """A session cookie that leaked is presented as an access token, where no check of the site applies."""
    token = token_of(browser(scene))
    return scene.lets("GET", "/users/me", Authorization=f"Bearer {token}")


def access_token_as_cookie(scene: Scene) -> bool:
    """An access token becomes a session of thirty days."""
    client = scene.app.test_client(use_cookies=False)
    headers = {"Cookie": f"waymark={scene.victim.owner.access_token}"}
    return bool(client.get("/users/me", headers=headers).status_code == 200)


def copied_before(end: str) -> Attempt:
    """A cookie was copied before its session ended."""

    def attempt(scene: Scene) -> bool:
        victim = browser(scene)
        headers = {"Cookie": f"waymark={token_of(victim)}"}
        if end == "sign out":
            victim.delete("/session", headers=SAME)
        else:
            other = scene.app.test_client()
            body = {"username": "victim", "password": PASSWORD}
            assert other.post("/session", json=body, headers=SAME).status_code == 201
            changed = {"current_password": PASSWORD, "new_password": "another good password"}
            assert other.post("/users/me/password", json=changed, headers=SAME).status_code == 204
        return bool(scene.app.test_client(use_cookies=False).get("/users/me", headers=headers).status_code == 200)

    return attempt


def opening_a_socket(scene: Scene) -> bool:
    """Another site opens a WebSocket with the victim's cookie: browsers send it, and there is no CORS for sockets."""
    victim = browser(scene)
    player_id = victim.get("/session").json["player_id"]
    with scene.app.test_request_context(f"/ws/{player_id}", headers={"Cookie": f"waymark={token_of(victim)}"}):
        try:
            return bool(str(websockets._authenticate().player_id) == player_id)
        except Unauthenticated:
            return False


def leading_away(path: str) -> Attempt:
    """A link to the sign-in page leads to another site afterwards."""
    return lambda scene: "evil" in browser(scene).get("/sign-in", query_string={"next": path}).headers["Location"]


def transfer(scene: Scene) -> str:
    created = browser(scene).post("/session/transfers", headers=SAME)
    return str(created.json["transfer_url"].partition("#")[2])


def accepts(scene: Scene, secret: str) -> bool:
    response = scene.app.test_client().post("/session/transfers/accept", json={"secret": secret}, headers=SAME)
    return bool(response.status_code == 201)


def transfer_used_twice(scene: Scene) -> bool:
    """A photo of the QR code is used after its owner used it."""
    secret = transfer(scene)
    assert accepts(scene, secret)
    return accepts(scene, secret)


def transfer_of_an_ended_session(scene: Scene) -> bool:
    """A transfer is accepted after the session that created it was signed out."""
    victim = browser(scene)
    secret = victim.post("/session/transfers", headers=SAME).json["transfer_url"].partition("#")[2]
    victim.delete("/session", headers=SAME)
    return accepts(scene, secret)


ANY_SITE = replaced(auth, "may_write", lambda *_: True)
ANY_TYPE = replaced(credentials, "_verified", lambda token, _key: claims_of(token) | {"type": "access"})
ANY_TYPE_AS_COOKIE = replaced(credentials, "_verified", lambda token, _key: claims_of(token) | {"type": "session"})
NEVER_REVOKED = all_of(
    without_condition(sessions.is_session_active, "revoked_at IS NULL"),
    without_condition(members.get_session_and_role, "revoked_at IS NULL"),
)
COOKIE_OPENS_SOCKETS = replaced(websockets, "_authenticate", auth.authenticate)
ANY_PATH = replaced(account_pages, "next_path", lambda path: path)


def _get_instead_of_getdel(_scene: Scene) -> Any:
    client = redis_client()
    return replaced(browser_sessions, "client", lambda: _Keeping(client))(_scene)


class _Keeping:
    """A Redis client that keeps what it should delete."""

    def __init__(self, client: Any) -> None:
        self.set, self.get, self.getdel = client.set, client.get, client.get


ATTACKS = [
    Attack("write from another site", writing(Sec_Fetch_Site="cross-site", Origin=SECRET), ANY_SITE),
    Attack("write from another port of the same host", writing(Sec_Fetch_Site="same-site"), ANY_SITE),
    Attack("write from a sandboxed frame without fetch metadata", writing(Origin="null"), ANY_SITE),
    Attack("write without any header of a browser", writing(), ANY_SITE),
    Attack("sign-in to the attacker's account from another site", signing_in_the_victim, ANY_SITE),
    Attack("session cookie as access token", cookie_as_bearer, ANY_TYPE),
    Attack("access token as session cookie", access_token_as_cookie, ANY_TYPE_AS_COOKIE),
    Attack("session cookie after signing out", copied_before("sign out"), NEVER_REVOKED),
    Attack("session cookie after a password change", copied_before("password"), NEVER_REVOKED),
    Attack("socket opened with a session cookie", opening_a_socket, COOKIE_OPENS_SOCKETS),
    Attack("sign-in page that leads to //evil.example", leading_away("//evil.example"), ANY_PATH),
    Attack("sign-in page that leads to /\\evil.example", leading_away("/\\evil.example"), ANY_PATH),
    Attack("transfer used twice", transfer_used_twice, _get_instead_of_getdel),
    Attack(
        "transfer of an ended session",
        transfer_of_an_ended_session,
        without_condition(sessions.is_session_active, "revoked_at IS NULL"),
    ),
]
