"""Tokens of an external issuer, if the settings name one (docs/decisions/0028)."""

import time
from functools import lru_cache
from pathlib import Path
from typing import cast
from uuid import UUID

from flask import Flask, current_app, g, request
from jwt.exceptions import PyJWTError

from shared.accounts import external_tokens
from shared.accounts.external_provisioning import RequestOrigin, get_or_create_player
from shared.accounts.external_tokens import ExternalIdentity, IssuerPolicy, KeySet, SigningKey, verify
from shared.errors import CredentialsExpired
from shared.infra import db
from shared.infra.logging import get_logger
from shared.settings import Settings, SettingsError
from web.http.settings import current_settings

log = get_logger()
MAX_KNOWN_PLAYERS = 4_096
EXTENSION = "waymark_external_issuer"
KNOWN_PLAYERS = "waymark_external_players"
READ_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, PyJWTError)
"""Errors of a key file that is missing, not readable or malformed."""


FileVersion = tuple[int, int, int, int]


class KeyFile:
    """A file with a public key (PEM) or a JWK set. It is read again after each change, for key rotation."""

    def __init__(self, path: Path, policy: IssuerPolicy) -> None:
        self._path, self._policy = path, policy
        self._version: FileVersion | None = self._stat()
        self._keys = self._read()

    def keys(self) -> KeySet:
        """Return the keys in the file. While it is missing or invalid, log it once and return the last valid keys."""
        try:
            version = self._stat()
        except OSError:
            version = None
        if version != self._version:
            self._version = version
            try:
                self._keys = self._read()
                log.info("external_keys_loaded", keys=len(self._keys.keys))
            except READ_ERRORS as error:
                log.warning("external_keys_invalid", error=type(error).__name__)
        return self._keys

    def _stat(self) -> FileVersion:
        """Return values that change with the file's content and permissions."""
        stat = self._path.stat()
        return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino

    def _read(self) -> KeySet:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - rarely needed

        text = self._path.read_text()
        if "-----BEGIN PUBLIC KEY-----" in text:
            return KeySet((SigningKey(None, load_pem_public_key(text.encode()), self._policy.algorithms),))
        return external_tokens.parse_jwks(text, self._policy.algorithms)


class ExternalIssuer:
    """The issuer whose tokens are accepted."""

    def __init__(self, policy: IssuerPolicy, source: KeyFile | KeySet) -> None:
        self.policy, self._source = policy, source

    def verify(self, token: str) -> ExternalIdentity | None:
        """Return the token's identity. None if the issuer did not issue it. Raise Unauthenticated if it is invalid."""
        if not _is_from_issuer(token, self.policy.issuer):
            return None
        keys = self._source.keys() if isinstance(self._source, KeyFile) else self._source
        identity = _verified(token, self.policy, keys)
        # The result is cached, so the expiry is checked again.
        if identity.expires_at <= time.time():
            raise CredentialsExpired
        return identity


# Cached by token, as Waymark's own tokens are. Changed keys are a new set, so they never match an old entry.
_is_from_issuer = lru_cache(maxsize=4_096)(external_tokens.is_from_issuer)
_verified = lru_cache(maxsize=4_096)(verify)


def init_app(app: Flask, settings: Settings) -> None:
    """Accept tokens of the external issuer in the settings, if there is one. Raise SettingsError for its key file."""
    app.extensions[EXTENSION] = create_issuer(settings)
    app.extensions[KNOWN_PLAYERS] = {}


def issuer() -> ExternalIssuer | None:
    """Return the external issuer of the current application, or None."""
    return cast("ExternalIssuer | None", current_app.extensions[EXTENSION])


def create_issuer(settings: Settings) -> ExternalIssuer | None:
    """Return the external issuer in the settings, or None. Raise SettingsError if its key file is not usable."""
    if settings.external_auth_issuer is None and not settings.external_auth_without_issuer:
        return None
    policy = IssuerPolicy(
        settings.external_auth_issuer,
        settings.external_auth_audience,
        settings.external_auth_subject_claim,
        settings.external_auth_allowed_algorithms,
    )
    if settings.external_auth_secret is not None:
        secret = settings.external_auth_secret.get_secret_value().encode()
        return ExternalIssuer(policy, KeySet((SigningKey(None, secret, policy.algorithms),)))
    try:
        return ExternalIssuer(policy, KeyFile(settings.external_auth_keys_file or Path(), policy))
    except READ_ERRORS as error:
        raise SettingsError(f"EXTERNAL_AUTH_KEYS_FILE must contain a public key (PEM) or a JWK set: {error}") from None


def get_or_create_session(identity: ExternalIdentity) -> tuple[UUID, UUID]:
    """Return the ids of the token's player and session. Both are created at the token's first use.

    The session may be revoked: the caller reads it from PostgreSQL, like any session.
    """
    known = _known_players()
    player_id = known.get(identity.session_id)
    if player_id is None:
        with db.transaction() as conn:
            origin = RequestOrigin(request.remote_addr, g.request_id)
            link_existing = current_settings().external_auth_link_existing_players
            player_id = get_or_create_player(conn, identity, link_existing=link_existing, origin=origin)
        if len(known) >= MAX_KNOWN_PLAYERS:
            known.clear()
        known[identity.session_id] = player_id
    return player_id, identity.session_id


def _known_players() -> dict[UUID, UUID]:
    """Return the players that this process has found, by session."""
    known: dict[UUID, UUID] = current_app.extensions[KNOWN_PLAYERS]
    return known
