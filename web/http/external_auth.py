"""Tokens of an outside authentication service, where the operator takes them. See docs/decisions/0028."""

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
from shared.errors import Unauthenticated
from shared.infra import db
from shared.infra.logging import get_logger
from shared.settings import Settings, SettingsError
from web.http.settings import current_settings

log = get_logger()
MAX_KNOWN_PLAYERS = 4_096
EXTENSION = "waymark_external_issuer"
KNOWN_PLAYERS = "waymark_external_players"
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, PyJWTError)


FileVersion = tuple[int, int, int, int]


class KeyFile:
    """A file with a public key (PEM) or a set of them (JWKS), read again when it was changed: keys are rotated."""

    def __init__(self, path: Path, trust: IssuerPolicy) -> None:
        self._path, self._trust = path, trust
        self._seen: FileVersion | None = self._stamp()
        self._keys = self._read()

    def keys(self) -> KeySet:
        """The keys in the file. While it is gone, or makes no sense, those that were in it last; that is said once."""
        try:
            stamp = self._stamp()
        except OSError:
            stamp = None
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._keys = self._read()
                log.info("external_keys_loaded", keys=len(self._keys.keys))
            except UNREADABLE as error:
                log.warning("external_keys_invalid", error=type(error).__name__)
        return self._keys

    def _stamp(self) -> FileVersion:
        """What changes with the file, and with who may read it."""
        told = self._path.stat()
        return told.st_mtime_ns, told.st_ctime_ns, told.st_size, told.st_ino

    def _read(self) -> KeySet:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - seldom needed

        text = self._path.read_text()
        if "-----BEGIN PUBLIC KEY-----" in text:
            return KeySet((SigningKey(None, load_pem_public_key(text.encode()), self._trust.algorithms),))
        return external_tokens.parse_jwks(text, self._trust.algorithms)


class ExternalIssuer:
    """The service whose tokens are taken."""

    def __init__(self, trust: IssuerPolicy, source: KeyFile | KeySet) -> None:
        self.trust, self._source = trust, source

    def verify(self, token: str) -> ExternalIdentity | None:
        """Whom the token names; None if it is not of this service. Raises Unauthenticated where it says so and does not
        hold."""
        if not _is_theirs(token, self.trust.issuer):
            return None
        found = _verified(token, self.trust, self._source.keys() if isinstance(self._source, KeyFile) else self._source)
        if found.expires_at <= time.time():
            raise Unauthenticated
        return found


_is_theirs = lru_cache(maxsize=4_096)(external_tokens.is_from_issuer)
_verified = lru_cache(maxsize=4_096)(verify)
"""Remembered, as our own are; other keys, other answers."""


def init_app(app: Flask, settings: Settings) -> None:
    """Accept tokens of the external issuer in the settings, if there is one. Raises SettingsError for its key file."""
    app.extensions[EXTENSION] = create_issuer(settings)
    app.extensions[KNOWN_PLAYERS] = {}


def issuer() -> ExternalIssuer | None:
    """Return the external issuer of the current application, or None."""
    return cast("ExternalIssuer | None", current_app.extensions[EXTENSION])


def create_issuer(settings: Settings) -> ExternalIssuer | None:
    """Return the external issuer in the settings, or None. Raises SettingsError if its key file is unusable."""
    if settings.external_auth_issuer is None or settings.external_auth_audience is None:
        return None
    trust = IssuerPolicy(
        settings.external_auth_issuer,
        settings.external_auth_audience,
        settings.external_auth_subject_claim,
        settings.external_auth_allowed_algorithms,
    )
    if settings.external_auth_secret is not None:
        return ExternalIssuer(
            trust,
            KeySet((SigningKey(None, settings.external_auth_secret.get_secret_value().encode(), trust.algorithms),)),
        )
    try:
        return ExternalIssuer(trust, KeyFile(settings.external_auth_keys_file or Path(), trust))
    except UNREADABLE as error:
        raise SettingsError(f"EXTERNAL_AUTH_KEYS_FILE must hold a public key in PEM, or a JWKS: {error}") from None


def get_or_create_session(theirs: ExternalIdentity) -> tuple[UUID, UUID]:
    """The player whom a token names, and its login; both are made on first sight. Whether the login still holds is
    asked of PostgreSQL, as that of any."""
    known = _known_players()
    player_id = known.get(theirs.session_id)
    if player_id is None:
        with db.transaction() as conn:
            origin = RequestOrigin(request.remote_addr, g.request_id)
            player_id = get_or_create_player(
                conn, theirs, may_name_ours=current_settings().external_auth_link_existing_players, origin=origin
            )
        if len(known) >= MAX_KNOWN_PLAYERS:
            known.clear()
        known[theirs.session_id] = player_id
    return player_id, theirs.session_id


def _known_players() -> dict[UUID, UUID]:
    """Return the players that this process has found, by session."""
    known: dict[UUID, UUID] = current_app.extensions[KNOWN_PLAYERS]
    return known
