"""`Idempotency-Key` on a POST that creates: a retry returns the first response.

One transaction holds the key, the creation and the response, so a crash leaves all of them or none.
"""

import hmac
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from hashlib import sha256
from secrets import token_bytes
from typing import Any, TypeVar, cast
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Response, current_app, g, request

from shared.errors import FieldError, IdempotencyKeyInUse, IdempotencyKeyReused, Invalid
from shared.infra import db
from shared.infra import idempotency as store
from shared.infra.db import Conn
from shared.infra.event_loop import run_in_thread
from shared.infra.idempotency import StoredResponse
from shared.infra.keys import key_for
from web.http.auth import current_caller
from web.http.schemas import MAX_BYTES_ON_LOOP
from web.http.settings import current_settings

View = TypeVar("View", bound=Callable[..., Any])
HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
"""Header of a response that was stored: the request itself changed nothing."""
STORED_HEADERS = ("Location",)
KEY_SCHEMA: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
"""OpenAPI schema of the header."""
NONCE_BYTES = 12


@contextmanager
def transaction() -> Iterator[Conn]:
    """Join the transaction that holds this request's Idempotency-Key, or open a new one."""
    conn: Conn | None = g.get("conn")
    if conn is not None:
        yield conn
    else:
        with db.transaction() as conn:
            yield conn


@contextmanager
def connection() -> Iterator[Conn]:
    """Join the transaction that holds this request's Idempotency-Key, or use a connection in autocommit."""
    conn: Conn | None = g.get("conn")
    if conn is not None:
        yield conn
    else:
        with db.connection() as conn:
            yield conn


def idempotency_key() -> str | None:
    """Return the request's key. Raise Invalid if it is not 1-255 printable ASCII characters."""
    key = request.headers.get(HEADER)
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Invalid(FieldError(f"header.{HEADER}", "Use 1 to 255 printable ASCII characters."))
    return key


def request_digest() -> bytes:
    """Return a digest that is equal for a retry and differs for another request."""
    # Keyed, because bodies may contain passwords, which could be guessed from a plain hash.
    secret = key_for("request digests", current_settings())
    head = f"{request.method} {request.full_path}\n"
    # The upload was spooled to a file, and its digest computed meanwhile.
    if spooled_digest := g.get("body_digest"):
        return _digest(secret, head + spooled_digest)
    if not request.is_json:
        return _digest(secret, head + request.get_data(as_text=True))
    content = request.get_json()
    if len(request.get_data()) <= MAX_BYTES_ON_LOOP:
        return _digest(secret, head + json.dumps(content, sort_keys=True))
    return run_in_thread(lambda: _digest(secret, head + json.dumps(content, sort_keys=True)))


def _digest(secret: bytes, text: str) -> bytes:
    return hmac.digest(secret, text.encode("utf-8", "replace"), sha256)


def idempotent(view: View) -> View:
    """Make a view honor Idempotency-Key, per caller. The view does its work inside `transaction()`."""
    return _idempotent(view, encrypted=False)


def idempotent_secret(view: View) -> View:
    """Make a view honor Idempotency-Key if its response contains a secret. The response is stored encrypted."""
    return _idempotent(view, encrypted=True)


def _idempotent(view: View, *, encrypted: bool) -> View:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Response:
        return run_once(current_caller().id, lambda: view(*args, **kwargs), encrypted=encrypted)

    return documents_idempotency_key(cast("View", wrapper))


def documents_idempotency_key(view: View, form: dict[str, Any] = KEY_SCHEMA) -> View:
    """Document in OpenAPI that the view honors Idempotency-Key, with the header's schema."""
    view.idempotency_key_schema = form  # type: ignore[attr-defined]
    return view


def run_once(owner: UUID, create: Callable[[], Any], key: str | None = None, *, encrypted: bool = False) -> Response:
    """Return the response stored under the request's key, or run `create` and store its response.

    Without a key, run `create`. The key is unique per `owner`, the caller. `key` replaces the request's own key.
    An `encrypted` response can be read with the installation's secret only.

    Raise IdempotencyKeyInUse while the first request runs, and IdempotencyKeyReused if its body or path was another.
    """
    key = key or idempotency_key()
    if key is None:
        return current_app.make_response(create())
    context = f"{owner} {key}".encode()
    with db.transaction() as conn:
        if not store.lock(conn, owner, key):
            raise IdempotencyKeyInUse
        stored = store.find(conn, owner, key)
        if stored is not None:
            if not hmac.compare_digest(stored.request_digest, request_digest()):
                raise IdempotencyKeyReused
            body = _decrypt(stored.response_body, context) if encrypted else stored.response_body
            headers = {**stored.response_headers, "Content-Type": "application/json", REPLAYED: "true"}
            return Response(body, stored.response_status, headers)
        g.conn = conn
        try:
            response = current_app.make_response(create())
        finally:
            g.pop("conn")
        if response.status_code < 300:
            headers = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
            body = response.get_data(as_text=True)
            stored = StoredResponse(
                request_digest(), response.status_code, headers, _encrypt(body, context) if encrypted else body
            )
            store.save(conn, owner, key, stored, player_id=_named_player(body))
    return response


def _named_player(body: str) -> UUID | None:
    """Return the `player_id` of a response, or None if it has none."""
    content = json.loads(body) if body else None
    player_id = content.get("player_id") if isinstance(content, dict) else None
    return UUID(player_id) if player_id is not None else None


def _cipher() -> AESGCM:
    return AESGCM(key_for("stored responses", current_settings()))


def _encrypt(text: str, context: bytes) -> str:
    """Return the text encrypted with AES-256-GCM. It can be decrypted in the same context only."""
    nonce = token_bytes(NONCE_BYTES)
    return b64encode(nonce + _cipher().encrypt(nonce, text.encode(), context)).decode()


def _decrypt(text: str, context: bytes) -> str:
    data = b64decode(text)
    return _cipher().decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], context).decode()
