"""Tokens of an outside authentication service, where the operator takes them. See docs/decisions/0028."""

import time
from functools import lru_cache
from pathlib import Path
from threading import Lock
from uuid import UUID

from flask import g, request
from jwt.exceptions import PyJWTError

from shared.accounts import external_tokens
from shared.accounts.external_provisioning import Origin, arrive
from shared.accounts.external_tokens import Key, Keys, Theirs, Trust, verify
from shared.errors import Unauthenticated
from shared.infra import db
from shared.infra.logging import get_logger
from shared.infra.per_process import once
from shared.settings import SettingsError, settings

log = get_logger()
MAX_LOGINS = 4_096
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, PyJWTError)


Stamp = tuple[int, int, int, int]


class KeyFile:
    """A file with a public key (PEM) or a set of them (JWKS), read again when it was changed: keys are rotated."""

    def __init__(self, path: Path, trust: Trust) -> None:
        self._path, self._trust = path, trust
        self._seen: Stamp | None = self._stamp()
        self._keys = self._read()

    def keys(self) -> Keys:
        """The keys in the file. While it is gone, or makes no sense, those that were in it last; that is said once."""
        try:
            stamp = self._stamp()
        except OSError:
            stamp = None
        if stamp != self._seen:
            self._seen = stamp
            try:
                self._keys = self._read()
                log.info("outside_keys_read", keys=len(self._keys.keys))
            except UNREADABLE as error:
                log.warning("outside_keys_unreadable", error=type(error).__name__)
        return self._keys

    def _stamp(self) -> Stamp:
        """What changes with the file, and with who may read it."""
        told = self._path.stat()
        return told.st_mtime_ns, told.st_ctime_ns, told.st_size, told.st_ino

    def _read(self) -> Keys:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - seldom needed

        text = self._path.read_text()
        if "-----BEGIN PUBLIC KEY-----" in text:
            return Keys((Key(None, load_pem_public_key(text.encode()), self._trust.algorithms),))
        return external_tokens.read_jwks(text, self._trust.algorithms)


class Service:
    """The service whose tokens are taken."""

    def __init__(self, trust: Trust, source: KeyFile | Keys) -> None:
        self.trust, self._source = trust, source

    def recognize(self, token: str) -> Theirs | None:
        """Whom the token names; None if it is not of this service. Raises Unauthenticated where it says so and does not
        hold."""
        if not _is_theirs(token, self.trust.issuer):
            return None
        found = _verified(token, self.trust, self._source.keys() if isinstance(self._source, KeyFile) else self._source)
        if found.expires_at <= time.time():
            raise Unauthenticated
        return found


_is_theirs = lru_cache(maxsize=4_096)(external_tokens.is_theirs)
_verified = lru_cache(maxsize=4_096)(verify)
"""Remembered, as our own are; other keys, other answers."""


@once
def service() -> Service | None:
    """The service that the settings name, if they name one. A key file that cannot be read ends the process."""
    told = settings()
    if told.outside_issuer is None or told.outside_audience is None:
        return None
    trust = Trust(told.outside_issuer, told.outside_audience, told.outside_claim, told.outside_ways)
    if told.outside_secret is not None:
        return Service(trust, Keys((Key(None, told.outside_secret.get_secret_value().encode(), trust.algorithms),)))
    try:
        return Service(trust, KeyFile(told.outside_keys_file or Path(), trust))
    except UNREADABLE as error:
        raise SettingsError(f"OUTSIDE_KEYS_FILE must hold a public key in PEM, or a JWKS: {error}") from None


_logins: dict[UUID, UUID] = {}
_lock = Lock()


def log_in(theirs: Theirs) -> tuple[UUID, UUID]:
    """The player whom a token names, and its login; both are made on first sight. Whether the login still holds is
    asked of PostgreSQL, as that of any."""
    player_id = _logins.get(theirs.login_id)
    if player_id is None:
        with db.transaction() as conn:
            origin = Origin(request.remote_addr, g.request_id)
            player_id = arrive(conn, theirs, may_name_ours=settings().outside_names_ours, origin=origin)
        with _lock:
            if len(_logins) >= MAX_LOGINS:
                _logins.clear()
            _logins[theirs.login_id] = player_id
    return player_id, theirs.login_id
