"""Constraints that clients run into, as the domain's errors: the one place that knows their names."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from psycopg.errors import IntegrityError

from shared.errors import AlreadyMember, CodeTaken, DomainError, SlugTaken, UsernameTaken

CONSTRAINT_ERRORS: Mapping[str, type[DomainError]] = {
    "players_username_key": UsernameTaken,
    "organizations_slug_key": SlugTaken,
    "memberships_pkey": AlreadyMember,
    "qr_codes_code_key": CodeTaken,
}


@contextmanager
def translate_constraint_errors() -> Iterator[None]:
    """Decorates a store's function: PostgreSQL's refusal, which ends the transaction, becomes an error of ours."""
    try:
        yield
    except IntegrityError as error:
        refusal = CONSTRAINT_ERRORS.get(error.diag.constraint_name or "")
        if refusal is None:
            raise
        raise refusal from error
