"""Tokens of an outside authentication service, where the operator takes them. See docs/decisions/0028."""

import time
from functools import lru_cache
from pathlib import Path
from threading import Lock
from uuid import UUID

from flask import g, request
from jwt.exceptions import PyJWTError

from shared.accounts import external_tokens
from shared.accounts.external_provisioning import RequestOrigin, get_or_create_player
from shared.accounts.external_tokens import ExternalIdentity, IssuerPolicy, KeySet, SigningKey, verify
from shared.errors import Unauthenticated
from shared.infra import db
from shared.infra.logging import get_logger
from shared.infra.per_process import per_process
from shared.settings import SettingsError, settings

log = get_logger()
MAX_LOGINS = 4_096
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


@per_process
def issuer() -> ExternalIssuer | None:
    """The service that the settings name, if they name one. A key file that cannot be read ends the process."""
    told = settings()
    if told.external_auth_issuer is None or told.external_auth_audience is None:
        return None
    trust = IssuerPolicy(
        told.external_auth_issuer,
        told.external_auth_audience,
        told.external_auth_subject_claim,
        told.external_auth_allowed_algorithms,
    )
    if told.external_auth_secret is not None:
        return ExternalIssuer(
            trust, KeySet((SigningKey(None, told.external_auth_secret.get_secret_value().encode(), trust.algorithms),))
        )
    try:
        return ExternalIssuer(trust, KeyFile(told.external_auth_keys_file or Path(), trust))
    except UNREADABLE as error:
        raise SettingsError(f"EXTERNAL_AUTH_KEYS_FILE must hold a public key in PEM, or a JWKS: {error}") from None


_logins: dict[UUID, UUID] = {}
_lock = Lock()


def get_or_create_session(theirs: ExternalIdentity) -> tuple[UUID, UUID]:
    """The player whom a token names, and its login; both are made on first sight. Whether the login still holds is
    asked of PostgreSQL, as that of any."""
    player_id = _logins.get(theirs.session_id)
    if player_id is None:
        with db.transaction() as conn:
            origin = RequestOrigin(request.remote_addr, g.request_id)
            player_id = get_or_create_player(
                conn, theirs, may_name_ours=settings().external_auth_link_existing_players, origin=origin
            )
        with _lock:
            if len(_logins) >= MAX_LOGINS:
                _logins.clear()
            _logins[theirs.session_id] = player_id
    return player_id, theirs.session_id
