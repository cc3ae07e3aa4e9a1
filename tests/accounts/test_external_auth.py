"""Clients with tokens of an external issuer: they use the API like any player, until their session ends."""

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
    """Return a client of an application that accepts the issuer's tokens, under these settings."""
    from web.app import create_app

    def make(**changed: str) -> Any:
        environment = {
            "EXTERNAL_AUTH_ISSUER": ISSUER,
            "EXTERNAL_AUTH_AUDIENCE": AUDIENCE,
            "EXTERNAL_AUTH_KEYS_FILE": str(file),
        } | changed
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return create_app().test_client()

    yield make
    monkeypatch.undo()
    settings.cache_clear()


def get_me(client: Any, bearer_token: str) -> Any:
    return client.get("/users/me", headers=bearer(bearer_token))


def test_the_first_token_of_a_subject_creates_a_player(serve: Serve, conn: Any) -> None:
    client = serve()
    subject = str(uuid4())
    first, second, other = (
        get_me(client, token(sub=subject)),
        get_me(client, token(sub=subject, exp=9**10)),
        get_me(client, token(sub="b")),
    )

    assert [response.status_code for response in (first, second, other)] == [200, 200, 200]
    assert first.json["id"] == second.json["id"] == subject
    assert other.json["id"] != subject
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (2,)


def test_a_new_player_is_recorded_in_the_audit_log(serve: Serve, conn: Any) -> None:
    client = serve()
    headers = bearer(token()) | {"X-Request-ID": "r1"}
    player_id = client.get("/users/me", headers=headers, environ_base={"REMOTE_ADDR": "192.0.2.7"}).json["id"]
    get_me(client, token(jti="2"))

    entries = conn.execute(
        "SELECT action, player_id::text, object_id, address, request_id, new FROM audit_log"
    ).fetchall()
    assert entries == [("account.created", player_id, player_id, "192.0.2.7", "r1", {"issuer": ISSUER})]


def test_clients_of_the_quest_service_can_use_every_route(serve: Serve, conn: Any) -> None:
    """They call `/track` without a body. Its 503 shows that the caller passed: no quest catalog is running."""
    client = serve()

    assert client.post("/api/v1/track/signin", headers=bearer(token())).status_code == 503
    player_id = get_me(client, token()).json["id"]
    scan = {"player_id": player_id, "qr_code": "x"}
    assert client.post("/scan", json=scan, headers=bearer(token())).status_code == 202
    assert client.post("/scan", json=scan | {"player_id": str(uuid4())}, headers=bearer(token())).status_code == 403
    assert client.get(f"/player/{player_id}/history", headers=bearer(token())).status_code == 200
    assert client.post("/ws/ticket", headers=bearer(token())).status_code == 201


def test_concurrent_first_requests_create_one_player(serve: Serve, conn: Any) -> None:
    client = serve()
    responses = run_concurrently(
        [partial(get_me, client.application.test_client(), token(sub="racer", jti=str(n))) for n in range(8)]
    )

    assert {response.status_code for response in responses} == {200}
    assert len({response.json["id"] for response in responses}) == 1
    assert conn.execute("SELECT count(*) FROM players").fetchone() == (1,)


def wait_before_create(monkeypatch: pytest.MonkeyPatch, both_found_none: Rendezvous) -> None:
    create_player = external_provisioning.create_player

    def wait_and_create(*args: Any, **kwargs: Any) -> UUID:
        both_found_none.wait()
        return create_player(*args, **kwargs)

    monkeypatch.setattr(external_provisioning, "create_player", wait_and_create)


@pytest.mark.parametrize("locked", [True, False], ids=["locked", "negative control: without the lock"])
def test_the_lock_of_an_identity_prevents_a_second_player(
    serve: Serve, conn: Any, monkeypatch: pytest.MonkeyPatch, locked: bool
) -> None:
    client = serve()
    wait_before_create(monkeypatch, Rendezvous(0.5) if locked else Rendezvous())
    if not locked:
        monkeypatch.setattr(external_provisioning, "lock_identity", lambda *_: None)
    responses = run_concurrently(
        [partial(get_me, client.application.test_client(), token(jti=f"{locked} {n}")) for n in range(2)]
    )

    assert sorted(response.status_code for response in responses) == ([200, 200] if locked else [200, 500])


@pytest.mark.parametrize("spell", [str, lambda player_id: str(player_id).upper()])
def test_a_subject_that_is_an_existing_id_gets_another_id(
    serve: Serve, conn: Any, spell: Callable[[UUID], str]
) -> None:
    client = serve()
    ada = sign_in(client.application, conn)

    response = get_me(client, token(sub=spell(ada.id)))
    assert response.status_code == 200
    assert response.json["id"] != str(ada.id)


def test_a_subject_that_is_an_erased_id_gets_another_id(serve: Serve, conn: Any) -> None:
    client = serve(EXTERNAL_AUTH_LINK_EXISTING_PLAYERS="true")
    erased = make_player(conn)
    conn.execute("UPDATE players SET erased_at = now() WHERE id = %s", (erased,))

    assert get_me(client, token(sub=str(erased))).json["id"] != str(erased)


def test_with_link_existing_players_the_subject_is_the_player(serve: Serve, conn: Any) -> None:
    client = serve(EXTERNAL_AUTH_LINK_EXISTING_PLAYERS="true")
    imported = make_player(conn, "from-the-old-days")

    assert get_me(client, token(sub=str(imported))).json["username"] == "from-the-old-days"


def test_log_out_ends_the_token_at_once(serve: Serve, conn: Any) -> None:
    client = serve()
    current, other = token(jti="1"), token(jti="2")
    assert get_me(client, current).status_code == get_me(client, other).status_code == 200

    assert client.post("/auth/logout", headers=bearer(current)).status_code == 204
    assert get_me(client, current).status_code == 401
    assert get_me(client, other).status_code == 200


def test_a_session_expires_with_its_token(serve: Serve, conn: Any) -> None:
    client = serve()
    now = datetime.now(UTC)
    expiring = token(exp=int((now + timedelta(seconds=100)).timestamp()))
    assert get_me(client, expiring).status_code == 200

    with time_machine.travel(now + timedelta(seconds=101), tick=False):
        assert get_me(client, expiring).status_code == 401
    # WebSockets are closed at this time.
    expires_at = conn.execute("SELECT extract(epoch FROM expires_at)::int FROM sessions").fetchone()
    assert expires_at == (int((now + timedelta(seconds=100)).timestamp()),)


def test_external_and_own_tokens_are_not_interchangeable(serve: Serve, conn: Any) -> None:
    client = serve()
    ada = sign_in(client.application, conn)
    secret = key_for("session tokens", settings())
    with_external_issuer = jwt.encode(
        jwt.decode(ada.access_token, secret, ["HS256"]) | claims(sub=str(ada.id)), secret, "HS256"
    )

    assert client.post("/auth/refresh", headers=bearer(token())).status_code == 401
    assert get_me(client, with_external_issuer).status_code == 401
    assert get_me(client, ada.access_token).status_code == 200


def test_a_changed_key_file_is_read_again(serve: Serve, conn: Any, file: Path) -> None:
    client = serve()
    new = token(OTHER_EC, kid="two")
    assert (get_me(client, token()).status_code, get_me(client, new).status_code) == (200, 401)

    write_jwks(file, jwk(OTHER_EC, kid="two"))
    assert (get_me(client, token()).status_code, get_me(client, new).status_code) == (401, 200)

    file.write_text("{half a fi")
    assert get_me(client, new).status_code == 200
    file.unlink()
    assert get_me(client, new).status_code == 200


def test_an_invalid_key_file_is_logged_once(serve: Serve, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from web.http import external_auth

    client, events = serve(), []
    monkeypatch.setattr(external_auth.log, "warning", lambda event, **_: events.append(event))
    file.unlink()

    assert {get_me(client, token(jti=str(n))).status_code for n in range(3)} == {200}
    assert events == ["external_keys_invalid"]


def test_a_key_file_is_read_when_its_permissions_are_restored(
    serve: Serve, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    new = token(OTHER_EC, kid="two")

    def deny(*_: object) -> str:
        raise PermissionError

    with monkeypatch.context() as patches:
        patches.setattr(Path, "read_text", deny)
        write_jwks(file, jwk(OTHER_EC, kid="two"))
        assert get_me(client, new).status_code == 401
    file.chmod(0o640)
    assert get_me(client, new).status_code == 200


def test_a_single_pem_key_needs_no_kid(serve: Serve, conn: Any, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(pem(EC))
    client = serve(EXTERNAL_AUTH_KEYS_FILE=str(tmp_path / "key.pem"))

    assert get_me(client, token(kid=None)).status_code == get_me(client, token(kid="any")).status_code == 200
    assert get_me(client, token(OTHER_EC)).status_code == 401


def test_a_shared_secret_verifies_hmac_tokens(serve: Serve, conn: Any) -> None:
    client = serve(EXTERNAL_AUTH_KEYS_FILE="", EXTERNAL_AUTH_SECRET=SECRET)

    assert get_me(client, jwt.encode(claims(), SECRET, "HS256")).status_code == 200
    assert get_me(client, jwt.encode(claims(), SECRET * 2, "HS256")).status_code == 401


def test_external_players_can_have_roles(serve: Serve, conn: Any) -> None:
    client = serve()
    staff = make_staff(client.application, conn)
    player_id = UUID(get_me(client, token()).json["id"])

    assert client.get(staff.codes, headers=bearer(token())).status_code == 403
    add_member(conn, staff.org_id, player_id, "member")
    assert client.get(staff.codes, headers=bearer(token())).status_code == 200
    assert client.post(staff.codes, json={"scan_type": "item_drop"}, headers=bearer(token())).status_code == 403


def test_external_tokens_are_rejected_by_default(client: Any) -> None:
    assert get_me(client, token()).status_code == 401


@pytest.mark.parametrize(
    ("changed", "setting"),
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
def test_conflicting_settings_end_the_process(serve: Serve, changed: dict[str, str], setting: str) -> None:
    with pytest.raises(SettingsError, match=setting) as error:
        serve(**changed)
    assert SECRET not in str(error.value)
