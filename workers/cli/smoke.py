"""`waymark smoke`: prove over HTTP that an installation accepts, judges and reports a scan."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import click

from workers.cli.commands import Command, CommandError
from workers.cli.output import report

CODE = "waymark-smoke-test"
"""The text that is scanned. No code has it, so the scan counts nowhere."""
TIMEOUT_SECONDS = 20.0
WAIT_SECONDS = 10


class Service:
    """The HTTP API at a base URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise CommandError(f"{url} is not a URL such as http://127.0.0.1:8000.")
        self._url = url
        self._origin = parts
        self.headers = {"Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        """Return the JSON of a successful response, None if it has no body. Raise CommandError after another."""
        connect = http.client.HTTPSConnection if self._origin.scheme == "https" else http.client.HTTPConnection
        connection = connect(self._origin.netloc, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers=self.headers | headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(
                f"{self._url}{path} does not respond: {getattr(error, 'strerror', None) or error}"
            ) from error
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise CommandError(f"{method} {path} returned {response.status}: {content[:500].decode(errors='replace')}")
        return json.loads(content) if content else None


@click.command(cls=Command, database=False)
@click.argument("url")
def smoke(url: str) -> None:
    """Submit a scan to the web process at URL and wait for its verdict.

    A guest is created for it and erased again. The scan is of a code that does not exist. Needs no settings.
    """
    service = Service(url.rstrip("/"))
    service.ask("GET", "/readyz")
    guest = service.ask("POST", "/auth/guest", {})
    service.headers["Authorization"] = f"Bearer {guest['access_token']}"
    try:
        scan = service.ask(
            "POST", "/scan", {"player_id": guest["player_id"], "qr_code": CODE}, Prefer=f"wait={WAIT_SECONDS}"
        )
    finally:
        service.ask("DELETE", "/users/me", {})
    if scan["status"] == "pending":
        raise CommandError(
            f"The scan was stored, but has no verdict after {WAIT_SECONDS} seconds. Are workers running?"
        )
    report("The scan was stored and judged.", scan_id=scan["scan_id"], status=scan["status"])
