"""What every answer tells a browser not to do. A view that needs more states it itself."""

from flask import Flask, Response, request

POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Content-Security-Policy of what is no page: should a browser take it for one, it loads and runs nothing."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",  # paths hold ids, and links their signatures
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_UNLESS_STATED = {name.lower(): (name, value) for name, value in SECURITY_HEADERS.items()}
HSTS_MAX_AGE_SECONDS = 365 * 24 * 3600


def init_app(app: Flask) -> None:
    @app.after_request
    def protect(response: Response) -> Response:
        stated = {name.lower() for name, _ in response.headers}
        response.headers.extend(header for name, header in _UNLESS_STATED.items() if name not in stated)
        if request.is_secure:  # as the proxies that are trusted tell it
            response.headers.setdefault("Strict-Transport-Security", f"max-age={HSTS_MAX_AGE_SECONDS}")
        return response
