"""Security headers of every response. A view that needs another value sets it itself."""

from flask import Flask, Response, request

CONTENT_SECURITY_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""For responses that are not pages: a browser that renders one as a page loads and runs nothing."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",  # paths contain ids, and links contain signatures
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_DEFAULTS = {name.lower(): (name, value) for name, value in SECURITY_HEADERS.items()}
HSTS_MAX_AGE_SECONDS = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    """Add the headers that a response does not have yet, and Strict-Transport-Security over TLS."""

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        present = {name.lower() for name, _ in response.headers}
        response.headers.extend(header for name, header in _DEFAULTS.items() if name not in present)
        if request.is_secure:  # from X-Forwarded-Proto of a trusted proxy
            response.headers.setdefault("Strict-Transport-Security", f"max-age={HSTS_MAX_AGE_SECONDS}")
        return response
