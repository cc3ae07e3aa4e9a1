"""`Idempotency-Key` on a POST that creates: the first answer is committed with what it created, and given again.

One transaction holds the key, the creation and the answer, so a crash leaves all of them or none.
"""

import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from hashlib import sha256
from typing import Any, TypeVar, cast
from uuid import UUID

from flask import Response, current_app, g, request

from shared.errors import FieldError, IdempotencyKeyInUse, IdempotencyKeyReused, Invalid
from shared.infra import db
from shared.infra import idempotency as store
from shared.infra.db import Conn
from shared.settings import settings
from web.http.auth import current_caller

View = TypeVar("View", bound=Callable[..., Any])
HEADER = "Idempotency-Key"
STORED_HEADERS = ("Location",)
KEY_SCHEMA: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
"""Any key, as OpenAPI says it."""


@contextmanager
def transaction() -> Iterator[Conn]:
    """The transaction of this request: the one that holds its Idempotency-Key, else a new one."""
    conn: Conn | None = g.get("conn")
    if conn is not None:
        yield conn
    else:
        with db.transaction() as conn:
            yield conn


def idempotency_key() -> str | None:
    """The request's key. Raises Invalid where it is not 1-255 visible ASCII characters."""
    key = request.headers.get(HEADER)
    if key is not None and not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Invalid(FieldError(f"header.{HEADER}", "must be 1-255 printable ASCII characters"))
    return key


def request_digest() -> bytes:
    """Tells a retry from another request. Keyed, for bodies may hold passwords."""
    if received := g.get("body_digest"):  # a file that was put aside
        body = received
    else:
        body = json.dumps(request.get_json(), sort_keys=True) if request.is_json else request.get_data(as_text=True)
    told = f"{request.method} {request.full_path}\n{body}"
    return hmac.digest(settings().jwt_secret.get_secret_value().encode(), told.encode("utf-8", "replace"), sha256)


def idempotent(view: View) -> View:
    """Honour Idempotency-Key, per caller. The view does its work inside `transaction()`."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Response:
        return run_once(current_caller().id, lambda: view(*args, **kwargs))

    return documents_idempotency_key(cast("View", wrapper))


def documents_idempotency_key(view: View, form: dict[str, Any] = KEY_SCHEMA) -> View:
    """Say in the documentation that the view honours Idempotency-Key, and what one must be."""
    view.key_form = form  # type: ignore[attr-defined]
    return view


def run_once(owner: UUID, create: Callable[[], Any], key: str | None = None) -> Response:
    """The answer stored under the request's key, or `create`'s, stored; without a key simply `create`'s.

    `owner` is whose keys they are; `key` is what the request's is stored as, if not as it stands. Raises KeyInUse while
    the first request runs, KeyReused where the key came with another one.
    """
    key = key or idempotency_key()
    if key is None:
        return current_app.make_response(create())
    with db.transaction() as conn:
        if not store.lock(conn, owner, key):
            raise IdempotencyKeyInUse
        stored = store.find(conn, owner, key)
        if stored is not None:
            if not hmac.compare_digest(stored.request_digest, request_digest()):
                raise IdempotencyKeyReused
            headers = stored.response_headers | {"Content-Type": "application/json"}
            return Response(stored.response_body, stored.response_status, headers)
        g.conn = conn
        try:
            response = current_app.make_response(create())
        finally:
            g.pop("conn")
        if response.status_code < 300:
            headers = {name: response.headers[name] for name in STORED_HEADERS if name in response.headers}
            store.save(
                conn, owner, key, request_digest(), response.status_code, headers, response.get_data(as_text=True)
            )
    return response
