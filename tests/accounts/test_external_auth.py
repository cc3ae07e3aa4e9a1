"""Clients of older services, with the tokens they have: they play like anybody, until their login ends."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
import time_machine

from shared.accounts import external_provisioning
from shared.infra.keys import key_for
from shared.settings import SettingsError, settings
from tests.accounts.external_issuer import AUDIENCE, EC, ISSUER, OTHER_EC, SECRET, claims, jwk, pem, token, write_jwks
from tests.support.callers import add_member, bearer, make_staff, sign_in
from tests.support.concurrency import Rendezvous, run_concurrently
from tests.support.factories import make_player

Serve = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_jwks(tmp_path / "jwks.json", jwk(EC, kid="one"))


@pytest.fixture
def serve(clean: None, file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Makes a service that takes the outside one's tokens, and gives a client of it."""
    from web.app import create_app

    def make(**changed: str) -> Any:
        told = {
            "EXTERNAL_AUTH_ISSUER": ISSUER,
            "EXTERNAL_AUTH_AUDIENCE": AUDIENCE,
            "EXTERNAL_AUTH_KEYS_FILE": str(file),
        } | changed
        for name, value in told.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return create_app().test_client()

    yield make
    monkeypatch.undo()
    settings.cache_clear()


def me(client: Any, told: str) -> Any:
    return client.get("/users/me", headers=bearer(told))


def test_a_player_is_made_when_first_seen_and_stays_the_same(serve: Serve, conn: Any) -> None:
    client = serve()
    subject = str(uuid4())
    first, again, other = (
        me(client, token(sub=subject)),
        me(client, token(sub=subject, exp=9**10)),
        me(client, token(sub="b")),
    )

    assert [each.status_code for each in (first, again, other)] == [200, 200, 200]
    assert first.json["id"] == again.json["id"] == subject
    assert other.json["id"] != subject
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (2,)


def test_their_account_begins_with_a_line_of_the_trail_as_any_does(serve: Serve, conn: Any) -> None:
    client = serve()
    headers = bearer(token()) | {"X-Request-ID": "r1"}
    player_id = client.get("/users/me", headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.7"}).json["id"]
    me(client, token(jti="2"))

    lines = conn.execute(
        "SELECT action, player_id::text, object_id, address, request_id, new FROM audit_log"
    ).fetchall()
    assert lines == [("account.created", player_id, player_id, "192.0.2.7", "r1", {"issuer": ISSUER})]


def test_the_quest_services_clients_go_on(serve: Serve, conn: Any) -> None:
    """As they call it today: no body, and the token they have."""
    client = serve()
    tracked = client.post("/api/v1/track/signin", headers=bearer(token()))

    assert tracked.status_code in (200, 503), tracked.text  # 503 where no catalog runs: let in all the same
    player_id = me(client, token()).json["id"]
    scan = {"player_id": player_id, "qr_code": "x"}
    assert client.post("/scan", json=scan, headers=bearer(token())).status_code == 202
    assert client.post("/scan", json=scan | {"player_id": str(uuid4())}, headers=bearer(token())).status_code == 403
    assert client.get(f"/player/{player_id}/history", headers=bearer(token())).status_code == 200
    assert client.post("/ws/ticket", headers=bearer(token())).status_code == 201


def test_racing_first_requests_make_one_player(serve: Serve, conn: Any) -> None:
    client = serve()
    told = run_concurrently(
        [partial(me, client.application.test_client(), token(sub="racer", jti=str(n))) for n in range(8)]
    )

    assert {each.status_code for each in told} == {200}
    assert len({each.json["id"] for each in told}) == 1
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)


def meet_before_welcome(monkeypatch: pytest.MonkeyPatch, meeting: Rendezvous) -> None:
    welcome = external_provisioning.create_player

    def meet(*args: Any, **kwargs: Any) -> UUID:
        meeting.wait()
        return welcome(*args, **kwargs)

    monkeypatch.setattr(external_provisioning, "create_player", meet)


@pytest.mark.parametrize("turns", [True, False], ids=["in turn", "negative control: all at once"])
def test_who_is_new_is_welcomed_once(serve: Serve, conn: Any, monkeypatch: pytest.MonkeyPatch, turns: bool) -> None:
    client = serve()
    meet_before_welcome(monkeypatch, Rendezvous(0.5) if turns else Rendezvous())
    if not turns:
        monkeypatch.setattr(external_provisioning, "lock_identity", lambda *_: None)
    told = run_concurrently(
        [partial(me, client.application.test_client(), token(jti=f"{turns} {n}")) for n in range(2)]
    )

    assert sorted(each.status_code for each in told) == ([200, 200] if turns else [200, 500])


@pytest.mark.parametrize("spelled", [str, lambda taken: str(taken).upper()])
def test_it_cannot_name_our_players(serve: Serve, conn: Any, spelled: Callable[[UUID], str]) -> None:
    client = serve()
    ada = sign_in(client.application, conn)

    found = me(client, token(sub=spelled(ada.id)))
    assert found.status_code == 200
    assert found.json["id"] != str(ada.id)


def test_nor_those_who_were_erased(serve: Serve, conn: Any) -> None:
    client = serve(EXTERNAL_AUTH_LINK_EXISTING_PLAYERS="true")
    gone = make_player(conn)
    conn.execute("UPDATE players SET erased_at = now() WHERE id = %s", (gone,))

    assert me(client, token(sub=str(gone))).json["id"] != str(gone)


def test_unless_the_operator_lets_it(serve: Serve, conn: Any) -> None:
    client = serve(EXTERNAL_AUTH_LINK_EXISTING_PLAYERS="true")
    imported = make_player(conn, "from-the-old-days")

    assert me(client, token(sub=str(imported))).json["username"] == "from-the-old-days"


def test_logging_out_ends_the_token_from_that_moment(serve: Serve, conn: Any) -> None:
    client = serve()
    told, other = token(jti="1"), token(jti="2")
    assert me(client, told).status_code == me(client, other).status_code == 200

    assert client.post("/auth/logout", headers=bearer(told)).status_code == 204
    assert me(client, told).status_code == 401
    assert me(client, other).status_code == 200


def test_a_token_ends_with_its_time_and_so_does_its_login(serve: Serve, conn: Any) -> None:
    client = serve()
    now = datetime.now(UTC)
    told = token(exp=int((now + timedelta(seconds=100)).timestamp()))
    assert me(client, told).status_code == 200

    with time_machine.travel(now + timedelta(seconds=101), tick=False):
        assert me(client, told).status_code == 401
    lasts = conn.execute("SELECT extract(epoch FROM expires_at)::int FROM sessions").fetchone()
    assert lasts == (int((now + timedelta(seconds=100)).timestamp()),)  # sockets are closed by this


def test_it_is_no_refresh_token_and_ours_none_of_theirs(serve: Serve, conn: Any) -> None:
    client = serve()
    ours = sign_in(client.application, conn)
    secret = key_for("session tokens", settings())
    with_their_name = jwt.encode(
        jwt.decode(ours.access_token, secret, ["HS256"]) | claims(sub=str(ours.id)), secret, "HS256"
    )

    assert client.post("/auth/refresh", headers=bearer(token())).status_code == 401
    assert me(client, with_their_name).status_code == 401
    assert me(client, ours.access_token).status_code == 200


def test_keys_are_rotated_while_we_run(serve: Serve, conn: Any, file: Path) -> None:
    client = serve()
    new = token(OTHER_EC, kid="two")
    assert (me(client, token()).status_code, me(client, new).status_code) == (200, 401)

    write_jwks(file, jwk(OTHER_EC, kid="two"))
    assert (me(client, token()).status_code, me(client, new).status_code) == (401, 200)

    file.write_text("{half a fi")
    assert me(client, new).status_code == 200
    file.unlink()
    assert me(client, new).status_code == 200


def test_what_is_wrong_with_the_keys_is_said_once(serve: Serve, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not on every request, at three in the morning."""
    from web.http import external_auth

    client, told = serve(), []
    monkeypatch.setattr(external_auth.log, "warning", lambda event, **_: told.append(event))
    file.unlink()

    assert {me(client, token(jti=str(n))).status_code for n in range(3)} == {200}
    assert told == ["external_keys_invalid"]


def test_keys_that_may_be_read_again_are(serve: Serve, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    new = token(OTHER_EC, kid="two")

    def refuse(*_: object) -> str:
        raise PermissionError

    with monkeypatch.context() as forbidden:
        forbidden.setattr(Path, "read_text", refuse)
        write_jwks(file, jwk(OTHER_EC, kid="two"))
        assert me(client, new).status_code == 401
    file.chmod(0o640)
    assert me(client, new).status_code == 200


def test_a_single_key_in_pem(serve: Serve, conn: Any, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(pem(EC))
    client = serve(EXTERNAL_AUTH_KEYS_FILE=str(tmp_path / "key.pem"))

    assert me(client, token(kid=None)).status_code == me(client, token(kid="any")).status_code == 200
    assert me(client, token(OTHER_EC)).status_code == 401


def test_a_shared_secret(serve: Serve, conn: Any) -> None:
    client = serve(EXTERNAL_AUTH_KEYS_FILE="", EXTERNAL_AUTH_SECRET=SECRET)

    assert me(client, jwt.encode(claims(), SECRET, "HS256")).status_code == 200
    assert me(client, jwt.encode(claims(), SECRET * 2, "HS256")).status_code == 401


def test_they_may_have_roles(serve: Serve, conn: Any) -> None:
    client = serve()
    staff = make_staff(client.application, conn)
    player_id = UUID(me(client, token()).json["id"])

    assert client.get(staff.codes, headers=bearer(token())).status_code == 403
    add_member(conn, staff.org_id, player_id, "member")
    assert client.get(staff.codes, headers=bearer(token())).status_code == 200
    assert client.post(staff.codes, json={"scan_type": "item_drop"}, headers=bearer(token())).status_code == 403


def test_off_by_default(client: Any) -> None:
    assert me(client, token()).status_code == 401


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"EXTERNAL_AUTH_ISSUER": ""}, "EXTERNAL_AUTH_ISSUER"),
        ({"EXTERNAL_AUTH_AUDIENCE": ""}, "EXTERNAL_AUTH_AUDIENCE"),
        ({"EXTERNAL_AUTH_KEYS_FILE": ""}, "EXTERNAL_AUTH_KEYS_FILE"),
        ({"EXTERNAL_AUTH_KEYS_FILE": "/nowhere"}, "EXTERNAL_AUTH_KEYS_FILE"),
        ({"EXTERNAL_AUTH_KEYS_FILE": __file__}, "EXTERNAL_AUTH_KEYS_FILE"),
        ({"EXTERNAL_AUTH_SECRET": SECRET}, "EXTERNAL_AUTH_SECRET"),
        ({"EXTERNAL_AUTH_ALGORITHMS": "HS256"}, "EXTERNAL_AUTH_ALGORITHMS"),
        ({"EXTERNAL_AUTH_ALGORITHMS": "RS256,HS256"}, "EXTERNAL_AUTH_ALGORITHMS"),
        ({"EXTERNAL_AUTH_ALGORITHMS": "none"}, "EXTERNAL_AUTH_ALGORITHMS"),
        ({"EXTERNAL_AUTH_KEYS_FILE": "", "EXTERNAL_AUTH_SECRET": "short"}, "EXTERNAL_AUTH_SECRET"),
        (
            {"EXTERNAL_AUTH_KEYS_FILE": "", "EXTERNAL_AUTH_SECRET": SECRET, "EXTERNAL_AUTH_ALGORITHMS": "RS256"},
            "EXTERNAL_AUTH_ALGORITHMS",
        ),
        ({"EXTERNAL_AUTH_KEYS_FILE": "", "EXTERNAL_AUTH_SECRET": os.environ["JWT_SECRET"]}, "EXTERNAL_AUTH_SECRET"),
    ],
)
def test_settings_that_do_not_fit_together_end_the_process(serve: Serve, changed: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as ended:
        serve(**changed)
    assert SECRET not in str(ended.value)
