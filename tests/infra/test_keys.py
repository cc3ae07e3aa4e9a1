"""Keys derived from JWT_SECRET: one for each purpose."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from shared.infra.ids import uuid7
from shared.infra.keys import KEY_BYTES, PURPOSES, Purpose, derive_key, key_for
from shared.renders import signed_links
from shared.settings import settings
from tests.accounts.forged_tokens import claims_of, signed
from tests.conftest import Player
from tests.support.callers import Staff, bearer
from web.http.settings import EXTENSION as SETTINGS_EXTENSION

SECRET = "rotated-" * 8


def test_every_purpose_has_its_own_key() -> None:
    keys = {derive_key(SECRET, purpose) for purpose in PURPOSES}

    assert len(keys) == len(PURPOSES)
    assert {len(key) for key in keys} == {KEY_BYTES}
    assert SECRET.encode() not in keys


@pytest.mark.parametrize("purpose", PURPOSES)
def test_another_secret_gives_another_key(purpose: Purpose) -> None:
    assert derive_key(SECRET, purpose) != derive_key(SECRET[::-1], purpose)


def test_keys_follow_rfc_5869() -> None:
    """Anyone can derive the same keys from the secret with another implementation of HKDF."""
    key = HKDF(SHA256(), 32, salt=b"", info=b"waymark session tokens").derive(SECRET.encode())

    assert derive_key(SECRET, "session tokens") == key


@pytest.mark.parametrize("purpose", [purpose for purpose in PURPOSES if purpose != "session tokens"])
def test_a_token_signed_with_the_key_of_another_purpose_gets_401(client: Any, player: Player, purpose: Purpose) -> None:
    claims = claims_of(player.access_token)

    assert client.get("/users/me", headers=bearer(signed(claims))).status_code == 200
    assert client.get("/users/me", headers=bearer(signed(claims, key=key_for(purpose, settings())))).status_code == 401


def test_a_token_signed_with_the_secret_itself_gets_401(client: Any, player: Player) -> None:
    token = signed(claims_of(player.access_token), key=settings().jwt_secret.get_secret_value().encode())

    assert client.get("/users/me", headers=bearer(token)).status_code == 401


def test_a_new_secret_ends_tokens_and_links_and_keeps_api_keys_valid(
    client: Any, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, body, retry = f"{staff.path}/api-keys", {"name": "Kiosk", "scopes": ["codes:read"]}, {"Idempotency-Key": "k"}
    api_key = client.post(path, json=body, headers=staff.owner.headers | retry).json["key"]
    render_id, expires = uuid7(), 2**33
    signature = signed_links.sign(key_for("download links", settings()), render_id, expires)
    assert client.get("/users/me", headers=staff.owner.headers).status_code == 200

    rotated = settings().model_copy(update={"jwt_secret": SecretStr(SECRET)})
    monkeypatch.setitem(client.application.extensions, SETTINGS_EXTENSION, rotated)

    assert client.get("/users/me", headers=staff.owner.headers).status_code == 401
    assert client.post("/auth/refresh", headers=bearer(staff.owner.refresh_token)).status_code == 401
    link_key = key_for("download links", rotated)
    assert not signed_links.is_valid(link_key, render_id, str(expires), signature, datetime.now(UTC))
    assert client.get(staff.codes, headers=bearer(api_key)).status_code == 200
    claims = claims_of(staff.owner.access_token)
    new_token = bearer(signed(claims, key=key_for("session tokens", rotated)))
    assert client.get("/users/me", headers=new_token).status_code == 200
    assert client.post(path, json=body, headers=new_token | retry).status_code == 422
