"""Tokens of an outside service: which hold, and which only look as if they did."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.accounts.external_tokens import (
    MAX_SUBJECT,
    IssuerPolicy,
    KeySet,
    SigningKey,
    is_from_issuer,
    parse_jwks,
    verify,
)
from shared.errors import Unauthenticated
from tests.accounts.external_issuer import AUDIENCE, EC, ED, ISSUER, OTHER_EC, RSA, SECRET, claims, jwk, pem, token

WAYS: Any = ("RS256", "ES256", "EdDSA")
TRUST = IssuerPolicy(ISSUER, AUDIENCE, "sub", WAYS)
KEYS = parse_jwks(
    json.dumps({"keys": [jwk(EC, kid="one"), jwk(RSA, kid="two", alg="RS256"), jwk(ED, kid="three")]}), WAYS
)
NOW = int(time.time())


@pytest.mark.parametrize(("key", "way", "kid"), [(EC, "ES256", "one"), (RSA, "RS256", "two"), (ED, "EdDSA", "three")])
def test_what_the_service_signed_holds(key: Any, way: str, kid: str) -> None:
    expires_at = int(time.time()) + 60
    found = verify(token(key, way, kid, exp=expires_at), TRUST, KEYS)

    assert (found.issuer, found.subject, found.expires_at) == (ISSUER, "user-1", expires_at)


@pytest.mark.parametrize(
    "told",
    [
        token(iss="https://evil.example"),
        token(iss=None),
        token(aud="another service"),
        token(aud=["another", "and another"]),
        token(aud=None),
        token(exp=NOW - 3600),
        token(exp=None),
        token(exp="soon"),
        token(nbf=NOW + 3600),
        token(iat=NOW + 3600),
        token(sub=None),
        token(sub=""),
        token(sub=7),
        token(sub=["user-1"]),
        token(sub="x" * (MAX_SUBJECT + 1)),
        token(sub="two\nlines"),
        token(sub="nul\x00"),
        token(kid="four"),
        token(kid=None),
        token(kid="two"),
        token(key=OTHER_EC),
        token(key=RSA, algorithm="RS512", kid="two"),
        token(key=RSA, algorithm="PS256", kid="two"),
        token(key=None, algorithm=None),
        jwt.encode(claims(), SECRET, "HS256", headers={"kid": "one"}),
        "",
        "..",
        "a.b.c",
    ],
)
def test_what_it_did_not_sign_so_does_not(told: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(told, TRUST, KEYS)


@pytest.mark.parametrize("kid", ["one", None])
def test_the_public_key_is_no_secret(kid: str | None) -> None:
    """HS256 keyed with what everybody may read: the oldest trick there is (CVE-2015-9235)."""
    text = pem(RSA)
    signed = f"{part({'alg': 'HS256', 'kid': kid} if kid else {'alg': 'HS256'})}.{part(claims())}"
    import hashlib
    import hmac

    forged = f"{signed}.{encoded(hmac.digest(text.encode(), signed.encode(), hashlib.sha256))}"
    only = KeySet((SigningKey(None, RSA.public_key(), WAYS),))
    for keys in (KEYS, only):
        with pytest.raises(Unauthenticated):
            verify(forged, TRUST, keys)


def test_a_key_in_the_header_is_not_taken() -> None:
    head = {"alg": "ES256", "kid": "one", "jwk": jwk(OTHER_EC, kid="one")}
    with pytest.raises(Unauthenticated):
        verify(jwt.encode(claims(), OTHER_EC, "ES256", headers=head), TRUST, KEYS)


def test_a_little_skew_is_forgiven() -> None:
    assert verify(token(iat=NOW + 10, nbf=NOW + 10), TRUST, KEYS).subject == "user-1"


def test_one_of_many_audiences_is_enough() -> None:
    assert verify(token(aud=["another", AUDIENCE]), TRUST, KEYS).subject == "user-1"


def test_another_claim_may_name_the_player() -> None:
    by_mail = IssuerPolicy(ISSUER, AUDIENCE, "email", WAYS)

    assert verify(token(email="ada@example.org"), by_mail, KEYS).subject == "ada@example.org"
    with pytest.raises(Unauthenticated):
        verify(token(), by_mail, KEYS)


def test_the_only_key_need_not_be_named() -> None:
    alone = parse_jwks(json.dumps({"keys": [jwk(EC, kid="one")]}), WAYS)

    assert verify(token(kid=None), TRUST, alone).subject == "user-1"
    with pytest.raises(Unauthenticated):
        verify(token(kid="two"), TRUST, alone)


def test_a_secret_is_for_hmac_alone() -> None:
    keys = KeySet((SigningKey(None, SECRET.encode(), ("HS256",)),))
    trust = IssuerPolicy(ISSUER, AUDIENCE, "sub", ("HS256",))

    assert verify(jwt.encode(claims(), SECRET, "HS256"), trust, keys).subject == "user-1"
    for told in (jwt.encode(claims(), SECRET, "HS384"), token(), token(key=None, algorithm=None)):
        with pytest.raises(Unauthenticated):
            verify(told, trust, keys)


@pytest.mark.parametrize(
    "told",
    [
        {"kty": "oct", "k": encoded_secret, "kid": "one"} if (encoded_secret := "c2VjcmV0") else {},
        jwk(EC, kid="one", use="enc"),
        jwk(EC, kid="one", alg="ES384"),
        jwk(EC, kid="one", d="AAAA"),
        {"kty": "EC", "crv": "P-999"},
        {},
    ],
)
def test_a_set_without_a_key_for_signatures_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no public key"):
        parse_jwks(json.dumps({"keys": [told]}), WAYS)


def test_each_token_is_a_login_of_one_person() -> None:
    first, second, other = token(), token(exp=NOW + 999), token(sub="user-2")
    again = token(key=EC, exp=NOW + 999)  # ECDSA signs differently each time
    found = [verify(each, TRUST, KEYS) for each in (first, second, other, again)]

    assert second != again
    assert found[0].id == found[1].id != found[2].id
    assert found[0].session_id != found[1].session_id == found[3].session_id


def test_a_token_says_whose_it_is() -> None:
    assert is_from_issuer(token(), ISSUER)
    assert not is_from_issuer(token(iss=None), ISSUER)
    assert not is_from_issuer("a.b.c", ISSUER)


@pytest.mark.parametrize("where", [0, 1])
def test_brackets_without_end_are_refused_like_anything_else(where: int) -> None:
    parts = [part({"alg": "ES256", "kid": "one"}), part(claims()), "x"]
    parts[where] = encoded(b"[" * 6_000)
    told = ".".join(parts)

    assert not is_from_issuer(told, ISSUER)
    with pytest.raises(Unauthenticated):
        verify(told, TRUST, KEYS)


@given(st.text() | st.binary().map(lambda raw: ".".join(map(encoded, (raw, raw, raw)))))
def test_whatever_comes_is_refused_in_the_same_way(told: str) -> None:
    assert not is_from_issuer(told, ISSUER)
    with pytest.raises(Unauthenticated):
        verify(told, TRUST, KEYS)


@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub"]), st.none() | st.integers() | st.text())
)
def test_a_signed_token_holds_or_is_refused_and_nothing_else(changes: dict[str, Any]) -> None:
    try:
        found = verify(token(**changes), TRUST, KEYS)
    except Unauthenticated:
        return
    assert found.issuer == ISSUER
    assert found.subject == changes.get("sub", "user-1")


def part(told: dict[str, Any]) -> str:
    return encoded(json.dumps(told).encode())


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
