"""Tokens of an authentication service that is not ours: whom they name, and whether they hold (RFC 7519, RFC 8725).

Nothing is taken from a token before its signature is known to be good, but which key it names. Which algorithms may be
is the operator's word and the key's, never the token's; a public key is never used as a secret.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import jwt
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from shared.errors import Unauthenticated
from shared.settings import SigningAlgorithm

MAX_SUBJECT = 255
LEEWAY_SECONDS = 30
"""Of their clock against ours, for `nbf` and `iat`; the gate gives `exp` none."""
MAX_EXPIRY = 253_402_300_799  # of the year 9999
ALGORITHMS_BY_KEY_TYPE: dict[tuple[str, str | None], tuple[SigningAlgorithm, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""What a key of a JWKS file may be used for, by its kind and curve."""


@dataclass(frozen=True)
class ExternalIdentity:
    """A token that holds: whom it names, and until when, in seconds since 1970. Each is a login of its own."""

    issuer: str
    subject: str
    expires_at: int
    session_id: UUID

    @property
    def id(self) -> UUID:
        """Of whom it names, before any player is known."""
        return uuid5(NAMESPACE_URL, f"{self.issuer}\n{self.subject}")


@dataclass(frozen=True)
class IssuerPolicy:
    """Whose tokens are taken, if they are for this audience, and which claim names the player."""

    issuer: str
    audience: str
    claim: str
    algorithms: tuple[SigningAlgorithm, ...]


@dataclass(frozen=True)
class SigningKey:
    """What a signature is checked with, and in which ways. `id` is what tokens call it; None if there is one only."""

    id: str | None
    material: Any
    algorithms: tuple[SigningAlgorithm, ...]


@dataclass(frozen=True, eq=False)
class KeySet:
    """All keys of the moment."""

    keys: tuple[SigningKey, ...]

    def select(self, key_id: object) -> SigningKey:
        """The key that a token names; it need not name the only one there is. Raises Unauthenticated."""
        found = [key for key in self.keys if key_id is None or key.id in (None, key_id)]
        if len(found) != 1:
            raise Unauthenticated
        return found[0]


def parse_jwks(text: str, allowed: tuple[SigningAlgorithm, ...]) -> KeySet:
    """The public keys of a JWK set (RFC 7517) that sign in one of these ways; others are passed over. Raises ValueError
    where there is none."""
    found = []
    for told in json.loads(text)["keys"]:
        kinds = ALGORITHMS_BY_KEY_TYPE.get((told.get("kty"), told.get("crv")), ())
        algorithms = tuple(name for name in kinds if name in allowed and name == told.get("alg", name))
        if algorithms and "d" not in told and told.get("use", "sig") == "sig":
            found.append(SigningKey(told.get("kid"), PyJWK(told, algorithms[0]).key, algorithms))
    if not found:
        raise ValueError("holds no public key for the algorithms that are taken")
    return KeySet(tuple(found))


def is_from_issuer(token: str, issuer: str) -> bool:
    """Whether a token says that it is this issuer's; whether it is remains to be seen."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (PyJWTError, ValueError, RecursionError):
        return False
    return bool(claims.get("iss") == issuer)


def verify(token: str, trust: IssuerPolicy, keys: KeySet) -> ExternalIdentity:
    """Whom the token names. Raises Unauthenticated, whatever is wrong."""
    try:
        key = keys.select(jwt.get_unverified_header(token).get("kid"))
        claims = jwt.decode(
            token,
            key.material,
            algorithms=[name for name in key.algorithms if name in trust.algorithms],
            audience=trust.audience,
            issuer=trust.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iss", "aud", trust.claim]},
        )
        expires_at = min(int(claims["exp"]), MAX_EXPIRY)
        subject = claims[trust.claim]
    except (PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise Unauthenticated from None
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise Unauthenticated
    signed = token.rpartition(".")[0]  # a signature may be spelled in several ways, what it signs in one
    return ExternalIdentity(trust.issuer, subject, expires_at, UUID(bytes=sha256(signed.encode()).digest()[:16]))
