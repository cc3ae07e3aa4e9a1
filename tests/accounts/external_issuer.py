"""A fake external issuer: its keys, and the tokens that it signs."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://login.example", "waymark"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
OTHER_EC = ec.generate_private_key(ec.SECP256R1())
SECRET = "8f1d0c7b5a3e49628b7c6d5e4f3a2b1c9d8e7f605d4c3b2a19087f6e5d4c3b2a"


def pem(key: Any) -> str:
    encoded: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return encoded.decode()


def jwk(key: Any, **more: Any) -> dict[str, Any]:
    kinds = ((rsa.RSAPrivateKey, RSAAlgorithm), (ec.EllipticCurvePrivateKey, ECAlgorithm), (object, OKPAlgorithm))
    algorithm: Any = next(algorithm for kind, algorithm in kinds if isinstance(key, kind))
    fields: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return fields | more


def write_jwks(file: Path, *keys: dict[str, Any]) -> Path:
    """Replace the file atomically with a set of these keys."""
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({"keys": keys}))
    draft.replace(file)
    return file


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a token. None removes a claim."""
    now = int(time.time())
    defaults = {"iss": ISSUER, "aud": AUDIENCE, "sub": "user-1", "iat": now, "exp": now + 300}
    return {name: value for name, value in (defaults | changes).items() if value is not None}


def token(key: Any = EC, algorithm: str | None = "ES256", kid: str | None = "one", **changes: Any) -> str:
    # PyJWS signs any payload; jwt.encode would validate it first.
    payload = json.dumps(claims(**changes)).encode()
    return jwt.PyJWS().encode(payload, key, algorithm, headers={"kid": kid} if kid else None)
