"""Map the constraints that clients can violate to domain errors. No other module knows their names."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from psycopg.errors import IntegrityError

from shared.errors import (
    AlreadyInvited,
    AlreadyMember,
    CodeTaken,
    DomainError,
    LabelTemplateTaken,
    SlugTaken,
    UsernameTaken,
)

CONSTRAINT_ERRORS: Mapping[str, type[DomainError]] = {
    "players_username_key": UsernameTaken,
    "organizations_slug_key": SlugTaken,
    "memberships_pkey": AlreadyMember,
    "invitations_player_key": AlreadyInvited,
    "qr_codes_code_key": CodeTaken,
    "label_templates_name_key": LabelTemplateTaken,
}


@contextmanager
def translate_constraint_errors() -> Iterator[None]:
    """Decorate a store's function: raise the domain error of a constraint in place of PostgreSQL's error."""
    try:
        yield
    except IntegrityError as error:
        domain_error = CONSTRAINT_ERRORS.get(error.diag.constraint_name or "")
        if domain_error is None:
            raise
        raise domain_error from error
