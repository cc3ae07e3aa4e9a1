"""Access tokens of an external issuer: verify them, and return the identity they name (RFC 7519, RFC 8725).

Before the signature is verified, only `kid` is read, and whether this issuer or Waymark issued the token. The settings
and the key decide the algorithm, never the token. A public key is never used as an HMAC secret.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import jwt
from jwt import PyJWK
from jwt.exceptions import ExpiredSignatureError, PyJWTError

from shared.errors import CredentialsExpired, CredentialsInvalid
from shared.settings import SigningAlgorithm

MAX_SUBJECT = 255
LEEWAY_SECONDS = 30
"""Difference of the issuer's clock that `nbf` and `iat` may have. The caller of `verify` gives `exp` none."""
MAX_EXPIRY = 253_402_300_799
"""The end of the year 9999, in seconds since 1970."""
NO_ISSUER = ""
"""The issuer of identities from tokens without `iss`. No setting can name it, so the identities are apart."""
MAX_NUMBER = 2**63 - 1
TOKEN_KIND_CLAIMS = ("type", "token_type", "token_use", "typ")
"""Claims by which services mark refresh tokens and others that are not access tokens. No standard defines one."""
OWN_CLAIM = "family"
"""A claim of every token that Waymark issues, without `iss` either."""
ALGORITHMS_BY_KEY_TYPE: dict[tuple[str, str | None], tuple[SigningAlgorithm, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""Algorithms of a key in a JWK set, by its type and curve."""


@dataclass(frozen=True)
class ExternalIdentity:
    """A valid token: its issuer and subject, and its expiry in seconds since 1970. Each token is a session."""

    issuer: str
    subject: str
    expires_at: int
    session_id: UUID

    @property
    def id(self) -> UUID:
        """Id of the identity, which does not depend on the player."""
        return uuid5(NAMESPACE_URL, f"{self.issuer}\n{self.subject}")


@dataclass(frozen=True)
class IssuerPolicy:
    """The tokens that are accepted: their issuer, audience and algorithms, and the claim of the subject.

    Without an issuer, tokens must have neither `iss` nor `aud`.
    """

    issuer: str | None
    audience: str | None
    claim: str
    algorithms: tuple[SigningAlgorithm, ...]


@dataclass(frozen=True)
class SigningKey:
    """A key that verifies signatures, and its algorithms. `id` is the `kid` of tokens, None for a single key."""

    id: str | None
    material: Any
    algorithms: tuple[SigningAlgorithm, ...]


@dataclass(frozen=True, eq=False)
class KeySet:
    """The current keys of an issuer. Two sets are never equal, so results are cached per set."""

    keys: tuple[SigningKey, ...]

    def select(self, key_id: object) -> SigningKey:
        """Return the key with this `kid`. A token may leave out the `kid` of a single key. Raise Unauthenticated."""
        matching = [key for key in self.keys if key_id is None or key.id in (None, key_id)]
        if len(matching) != 1:
            raise CredentialsInvalid
        return matching[0]


def parse_jwks(text: str, allowed: tuple[SigningAlgorithm, ...]) -> KeySet:
    """Return the public keys of a JWK set (RFC 7517) that have an allowed algorithm. Raise ValueError if none has."""
    keys = []
    for jwk in json.loads(text)["keys"]:
        of_type = ALGORITHMS_BY_KEY_TYPE.get((jwk.get("kty"), jwk.get("crv")), ())
        algorithms = tuple(name for name in of_type if name in allowed and name == jwk.get("alg", name))
        if algorithms and "d" not in jwk and jwk.get("use", "sig") == "sig":
            keys.append(SigningKey(jwk.get("kid"), PyJWK(jwk, algorithms[0]).key, algorithms))
    if not keys:
        raise ValueError("contains no public key for an allowed algorithm")
    return KeySet(tuple(keys))


def is_from_issuer(token: str, issuer: str | None) -> bool:
    """Return whether the token's `iss` is this issuer. None: whether it has none, and Waymark did not issue it.

    The signature is not verified.
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except (PyJWTError, ValueError, RecursionError):
        return False
    if issuer is None:
        return "iss" not in claims and OWN_CLAIM not in claims
    return bool(claims.get("iss") == issuer)


def verify(token: str, policy: IssuerPolicy, keys: KeySet) -> ExternalIdentity:
    """Return the identity that the token names. Raise Unauthenticated if the token is invalid in any way."""
    try:
        key = keys.select(jwt.get_unverified_header(token).get("kid"))
        claims = jwt.decode(
            token,
            key.material,
            algorithms=[name for name in key.algorithms if name in policy.algorithms],
            audience=policy.audience,
            issuer=policy.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", policy.claim, *(() if policy.issuer is None else ("iss", "aud"))]},
        )
        expires_at = min(int(claims["exp"]), MAX_EXPIRY)
        subject = _subject(claims[policy.claim])
    except ExpiredSignatureError:
        raise CredentialsExpired from None
    except (PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise CredentialsInvalid from None
    if not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise CredentialsInvalid
    # Without an audience, only these claims separate an access token from the other tokens of its service.
    if policy.issuer is None and any(claims.get(name, "access") != "access" for name in TOKEN_KIND_CLAIMS):
        raise CredentialsInvalid
    # The session's id comes from the signed part: one signature can be encoded in several ways.
    signed = token.rpartition(".")[0]
    return ExternalIdentity(
        policy.issuer or NO_ISSUER, subject, expires_at, UUID(bytes=sha256(signed.encode()).digest()[:16])
    )


def _subject(value: object) -> str:
    """Return the subject identifier: a text, or a whole number as older services have it. Raise ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_NUMBER:
        return str(value)
    if not isinstance(value, str):
        raise ValueError("is neither a text nor a whole number")
    return value
