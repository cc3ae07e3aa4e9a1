"""Checks of the settings: conflicts, and values that production does not allow. Each message starts with a variable."""

import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from shared.settings import Settings

MIN_SECRET_BYTES = 32  # RFC 7518, 3.2: an HMAC key at least as long as the hash
MIN_TOKEN_CHARACTERS = 16
MIN_PASSWORD_CHARACTERS = 8
WELL_KNOWN = re.compile(
    "0123456789|1234567890|abcdefghij|changeit|changeme|correcthorse|example|goeshere|insecure|jwtsecret|letmein|"
    "mysecret|notsecret|passw0rd|password|placeholder|qwerty|replaceme|secretkey|supersecret|thisisasecret|topsecret|"
    "verysecret|waymark|your256bitsecret|yoursecret"
)
"""Parts of the secrets in examples, including Waymark's. A random secret contains none of them."""
DEFAULT_PASSWORDS = {"admin", "default", "guest", "postgres", "redis", "root", "secret", "test"}


def find_conflicts(settings: "Settings") -> Iterator[str]:
    """Yield a message for each conflict between settings, in any environment."""
    if len(settings.jwt_secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
        yield f"JWT_SECRET must be at least {MIN_SECRET_BYTES} bytes"
    if _unit(settings.rate_limit_login_per_username) < _unit(settings.rate_limit_login_per_username_and_address):
        yield (
            "RATE_LIMIT_LOGIN_PER_USERNAME must not have a shorter unit than RATE_LIMIT_LOGIN_PER_USERNAME_AND_ADDRESS"
        )
    if (settings.grpc_cert_file is None) != (settings.grpc_key_file is None):
        yield "GRPC_CERT_FILE and GRPC_KEY_FILE must be set together"
    if settings.map_tiles and not settings.map_attribution:
        yield "MAP_ATTRIBUTION must be set if MAP_TILES is set: tile servers ask for a credit on the map"
    yield from _find_external_auth_conflicts(settings)


def _find_external_auth_conflicts(settings: "Settings") -> Iterator[str]:
    if settings.external_auth_without_issuer:
        if settings.external_auth_issuer is not None or settings.external_auth_audience is not None:
            yield "EXTERNAL_AUTH_WITHOUT_ISSUER must be off if EXTERNAL_AUTH_ISSUER or EXTERNAL_AUTH_AUDIENCE is set"
        if settings.external_auth_secret is None:
            yield "EXTERNAL_AUTH_SECRET must be set if EXTERNAL_AUTH_WITHOUT_ISSUER is on"
        if "external_auth_subject_claim" not in settings.model_fields_set:
            yield "EXTERNAL_AUTH_SUBJECT_CLAIM must be set if EXTERNAL_AUTH_WITHOUT_ISSUER is on: the claim with the id"
    elif settings.external_auth_issuer is None:
        if settings.external_auth_keys_file or settings.external_auth_secret:
            yield "EXTERNAL_AUTH_ISSUER must be set: tokens without an issuer are rejected"
        return
    elif settings.external_auth_audience is None:
        yield "EXTERNAL_AUTH_AUDIENCE must be set: tokens for another audience are rejected"
    if (settings.external_auth_keys_file is None) == (settings.external_auth_secret is None):
        yield "EXTERNAL_AUTH_KEYS_FILE or EXTERNAL_AUTH_SECRET must be set, but not both"
    if any(
        name.startswith("HS") != (settings.external_auth_secret is not None)
        for name in settings.external_auth_allowed_algorithms
    ):
        yield "EXTERNAL_AUTH_ALGORITHMS must be HS256, HS384 or HS512 if EXTERNAL_AUTH_SECRET is set, else none of them"
    if settings.external_auth_secret is not None:
        if len(settings.external_auth_secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
            yield f"EXTERNAL_AUTH_SECRET must be at least {MIN_SECRET_BYTES} bytes"
        if settings.external_auth_secret.get_secret_value() == settings.jwt_secret.get_secret_value():
            yield "EXTERNAL_AUTH_SECRET must not be JWT_SECRET: the external issuer could sign tokens for any player"


def find_production_errors(settings: "Settings") -> Iterator[str]:
    """Yield a message for each setting that production does not allow."""
    for name, secret in (("JWT_SECRET", settings.jwt_secret), ("EXTERNAL_AUTH_SECRET", settings.external_auth_secret)):
        if secret is not None and _is_guessable(secret.get_secret_value()):
            yield f"{name} is easy to guess. Use a random value, for example from `openssl rand -hex 32`"
    if settings.grpc_token and _is_weak(settings.grpc_token.get_secret_value(), MIN_TOKEN_CHARACTERS):
        yield f"GRPC_TOKEN must have at least {MIN_TOKEN_CHARACTERS} characters, and not be from an example"
    if settings.metrics_token and _is_weak(settings.metrics_token.get_secret_value(), MIN_TOKEN_CHARACTERS):
        yield f"METRICS_TOKEN must have at least {MIN_TOKEN_CHARACTERS} characters, and not be from an example"
    for name, urls in (
        ("DATABASE_URL", settings.database_url),
        ("DATABASE_DIRECT_URL", settings.direct_database_url),
        ("DATABASE_READ_URL", settings.database_read_url or settings.database_url),
        ("REDIS_URL", settings.redis_url),
        ("BROKER_URL", settings.broker_url or settings.redis_url),
    ):
        passwords = (password for url in urls.get_secret_value().split(";") for password in _passwords(url))
        if any(_is_weak(password, MIN_PASSWORD_CHARACTERS) for password in passwords):
            yield f"{name}: the password needs at least {MIN_PASSWORD_CHARACTERS} characters, none from an example"
    if settings.public_url is None:
        yield "PUBLIC_URL must be set in production: printed codes contain it"
    if settings.sends_grpc_token_in_clear:
        yield "GRPC_TLS must be on in production if GRPC_TOKEN is sent to another host"
    if os.environ.get("FLASK_DEBUG", "").lower() not in ("", "0", "false", "no"):
        yield "FLASK_DEBUG must be off in production"
    if sys.flags.dev_mode:
        yield "PYTHONDEVMODE must be off in production"


def find_production_warnings(settings: "Settings") -> Iterator[str]:
    """Yield a message for each setting that is rarely intended in production. Processes log them at startup."""
    if settings.public_url is not None and not settings.public_url.startswith("https:"):
        yield "PUBLIC_URL is not https: browsers block camera and geolocation, and tokens travel in clear text"
    elif settings.public_url is not None and not settings.trusted_proxies:
        yield "TRUSTED_PROXIES is 0, and PUBLIC_URL is https: if a proxy ends TLS, all clients share its rate limits"
    if settings.public_url is not None and settings.public_url.startswith("https:") and not settings.metrics_token:
        yield "METRICS_TOKEN is empty: /metrics is public unless the proxy blocks it"
    for origin in settings.allowed_origins:
        if not origin.startswith("https:"):
            yield f"ALLOWED_ORIGINS has {origin} without TLS: an attacker on the path can call the API as its users"
    if settings.log_level == "DEBUG":
        yield "LOG_LEVEL is DEBUG: libraries may log secrets"
    if settings.external_auth_without_issuer:
        yield "EXTERNAL_AUTH_WITHOUT_ISSUER is on: every token that is signed with the secret is a log-in"
    if settings.track_requires_key and not settings.track_organizations:
        yield "TRACK_ORGANIZATIONS is empty, and TRACK_REQUIRES_KEY is on: keys of any organization can submit sign-ins"
    if not settings.rate_limits_enabled:
        yield "RATE_LIMITS_ENABLED is off: nothing limits the guessing of passwords"


def _unit(limit: str) -> int:
    """Return the position of a rate limit's unit, from the shortest. Limits are checked in this order."""
    return next(index for index, unit in enumerate(("second", "minute", "hour", "day")) if unit in limit)


def _is_guessable(secret: str) -> bool:
    return len(set(secret)) < 10 or _is_weak(secret, MIN_SECRET_BYTES)


def _is_weak(secret: str, least: int) -> bool:
    """Return whether a secret is short, a repeated pattern, or from an example."""
    is_repeated = secret in (secret * 2)[1:-1]
    plain = re.sub(r"[^a-z0-9]", "", secret.lower())
    return len(secret) < least or is_repeated or plain in DEFAULT_PASSWORDS or bool(WELL_KNOWN.search(plain))


def _passwords(url: str) -> list[str]:
    """Return the passwords in the URL of a store, also that of sentinels. None if it has none, as with certificates."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    of_server = query.get("password", []) if parts.password is None else [unquote(parts.password)]
    return of_server + query.get("sentinel_password", [])
