"""Which tokens of an external issuer are valid."""

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

ALGORITHMS: Any = ("RS256", "ES256", "EdDSA")
POLICY = IssuerPolicy(ISSUER, AUDIENCE, "sub", ALGORITHMS)
KEYS = parse_jwks(
    json.dumps({"keys": [jwk(EC, kid="one"), jwk(RSA, kid="two", alg="RS256"), jwk(ED, kid="three")]}), ALGORITHMS
)
NOW = int(time.time())


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(EC, "ES256", "one"), (RSA, "RS256", "two"), (ED, "EdDSA", "three")]
)
def test_a_token_of_each_key_type_is_valid(key: Any, algorithm: str, kid: str) -> None:
    expires_at = int(time.time()) + 60
    identity = verify(token(key, algorithm, kid, exp=expires_at), POLICY, KEYS)

    assert (identity.issuer, identity.subject, identity.expires_at) == (ISSUER, "user-1", expires_at)


@pytest.mark.parametrize(
    "invalid",
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
def test_invalid_tokens_are_rejected(invalid: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(invalid, POLICY, KEYS)


@pytest.mark.parametrize("kid", ["one", None])
def test_the_public_key_is_not_an_hmac_secret(kid: str | None) -> None:
    """An HS256 signature with the public key as its secret (CVE-2015-9235)."""
    text = pem(RSA)
    signed = f"{part({'alg': 'HS256', 'kid': kid} if kid else {'alg': 'HS256'})}.{part(claims())}"
    import hashlib
    import hmac

    forged = f"{signed}.{encoded(hmac.digest(text.encode(), signed.encode(), hashlib.sha256))}"
    single = KeySet((SigningKey(None, RSA.public_key(), ALGORITHMS),))
    for keys in (KEYS, single):
        with pytest.raises(Unauthenticated):
            verify(forged, POLICY, keys)


def test_a_key_in_the_header_is_ignored() -> None:
    head = {"alg": "ES256", "kid": "one", "jwk": jwk(OTHER_EC, kid="one")}
    with pytest.raises(Unauthenticated):
        verify(jwt.encode(claims(), OTHER_EC, "ES256", headers=head), POLICY, KEYS)


def test_a_few_seconds_of_clock_difference_are_accepted() -> None:
    assert verify(token(iat=NOW + 10, nbf=NOW + 10), POLICY, KEYS).subject == "user-1"


def test_one_of_several_audiences_is_enough() -> None:
    assert verify(token(aud=["another", AUDIENCE]), POLICY, KEYS).subject == "user-1"


def test_the_policy_names_the_subject_claim() -> None:
    by_email = IssuerPolicy(ISSUER, AUDIENCE, "email", ALGORITHMS)

    assert verify(token(email="ada@example.org"), by_email, KEYS).subject == "ada@example.org"
    with pytest.raises(Unauthenticated):
        verify(token(), by_email, KEYS)


def test_a_single_key_needs_no_kid() -> None:
    single = parse_jwks(json.dumps({"keys": [jwk(EC, kid="one")]}), ALGORITHMS)

    assert verify(token(kid=None), POLICY, single).subject == "user-1"
    with pytest.raises(Unauthenticated):
        verify(token(kid="two"), POLICY, single)


def test_a_secret_verifies_hmac_signatures_only() -> None:
    keys = KeySet((SigningKey(None, SECRET.encode(), ("HS256",)),))
    policy = IssuerPolicy(ISSUER, AUDIENCE, "sub", ("HS256",))

    assert verify(jwt.encode(claims(), SECRET, "HS256"), policy, keys).subject == "user-1"
    for invalid in (jwt.encode(claims(), SECRET, "HS384"), token(), token(key=None, algorithm=None)):
        with pytest.raises(Unauthenticated):
            verify(invalid, policy, keys)


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "one"},
        jwk(EC, kid="one", use="enc"),
        jwk(EC, kid="one", alg="ES384"),
        jwk(EC, kid="one", d="AAAA"),
        {"kty": "EC", "crv": "P-999"},
        {},
    ],
)
def test_a_key_set_without_a_signing_key_is_rejected(key: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no public key"):
        parse_jwks(json.dumps({"keys": [key]}), ALGORITHMS)


def test_each_token_is_a_session_of_one_identity() -> None:
    """ECDSA gives another signature each time. The session depends on the signed part only."""
    first, second, other = token(), token(exp=NOW + 999), token(sub="user-2")
    signed_again = token(key=EC, exp=NOW + 999)
    identities = [verify(valid, POLICY, KEYS) for valid in (first, second, other, signed_again)]

    assert second != signed_again
    assert identities[0].id == identities[1].id != identities[2].id
    assert identities[0].session_id != identities[1].session_id == identities[3].session_id


def test_is_from_issuer_reads_the_issuer() -> None:
    assert is_from_issuer(token(), ISSUER)
    assert not is_from_issuer(token(iss=None), ISSUER)
    assert not is_from_issuer("a.b.c", ISSUER)


@pytest.mark.parametrize("index", [0, 1])
def test_deeply_nested_json_is_rejected(index: int) -> None:
    parts = [part({"alg": "ES256", "kid": "one"}), part(claims()), "x"]
    parts[index] = encoded(b"[" * 6_000)
    nested = ".".join(parts)

    assert not is_from_issuer(nested, ISSUER)
    with pytest.raises(Unauthenticated):
        verify(nested, POLICY, KEYS)


@given(st.text() | st.binary().map(lambda raw: ".".join(map(encoded, (raw, raw, raw)))))
def test_any_text_is_rejected_as_unauthenticated(text: str) -> None:
    assert not is_from_issuer(text, ISSUER)
    with pytest.raises(Unauthenticated):
        verify(text, POLICY, KEYS)


@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub"]), st.none() | st.integers() | st.text())
)
def test_any_signed_claims_are_valid_or_unauthenticated(changes: dict[str, Any]) -> None:
    try:
        identity = verify(token(**changes), POLICY, KEYS)
    except Unauthenticated:
        return
    assert identity.issuer == ISSUER
    assert identity.subject == changes.get("sub", "user-1")


def part(content: dict[str, Any]) -> str:
    return encoded(json.dumps(content).encode())


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
