"""Uploads of logos: the form, its limits, and what is stored of it."""

from typing import Any

from flask import request
from flask_openapi import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from shared.errors import FieldError, Invalid
from shared.images.customizations import Customization
from shared.infra.event_loop import run_in_thread
from web.http.schemas import Body

MAX_LOGO_BYTES = 2**20
MAX_UPLOAD_BYTES = 2 * 2**20
"""Limit of the whole request: the logo and the rest of the multipart body."""


class LogoForm(Body):
    """One PNG or JPEG of at most 1 MiB."""

    logo: FileStorage


def uploaded_logo(upload: FileStorage | None) -> bytes:
    """Return the bytes of the field `logo`. Raise Invalid if it is not one file, and RequestEntityTooLarge."""
    # A text field of this name is not in `files`.
    if upload is None or len(request.files.getlist("logo")) != 1:
        raise Invalid(FieldError("form.logo", "Give one file."))
    data = upload.stream.read(MAX_LOGO_BYTES + 1)
    if len(data) > MAX_LOGO_BYTES:
        # The error response reports this limit.
        request.max_content_length = MAX_LOGO_BYTES
        raise RequestEntityTooLarge
    return data


def sanitize(data: bytes) -> bytes:
    """Return the logo as Waymark stores it. Raise InvalidLogo."""

    def work() -> bytes:
        from shared.images.logos import sanitize_logo  # noqa: PLC0415 - loads Pillow on first use

        return sanitize_logo(data)

    return run_in_thread(work)


def logo_audit_fields(customization: Customization) -> dict[str, Any]:
    """Return what the audit log records of a logo."""
    return {} if customization.logo_digest is None else {"sha256": customization.logo_digest}
