"""Reports of errors to Sentry, if SENTRY_DSN is set. Otherwise nothing of Sentry is imported.

Each error that is logged with its exception is reported once, with the traceback, the event, the process and the
request id. Nothing of the request is: no header, no body, no user, no local variable. The integrations of the SDK stay
off.
"""

import importlib.util
import sys
from typing import Any

from structlog.typing import EventDict

from shared.infra.per_process import per_process
from shared.settings import SettingsError, settings
from shared.version import __version__

FLUSH_SECONDS = 2.0


def check_packages() -> None:
    """Raise SettingsError if SENTRY_DSN is set, and the packages that it needs are missing."""
    if settings().sentry_dsn is not None and importlib.util.find_spec("sentry_sdk") is None:
        raise SettingsError("SENTRY_DSN needs the packages of requirements-tracing.txt")


@per_process
def sentry() -> Any:
    """Return the client of this process, which sends from a thread. Created at the first error."""
    from sentry_sdk import Client  # noqa: PLC0415 - only if it is used

    dsn = settings().sentry_dsn
    return Client(
        dsn=dsn.get_secret_value() if dsn else None,
        release=f"waymark@{__version__}",
        environment=settings().waymark_env,
        default_integrations=False,
        auto_enabling_integrations=False,
        include_local_variables=False,
        max_request_body_size="never",
        shutdown_timeout=FLUSH_SECONDS,
    )


def report(_logger: Any, method: str, event: EventDict) -> EventDict:
    """Report the exception of a line of the log, if it is an error. A processor of structlog, which changes nothing."""
    error = event.get("exc_info")
    if method in ("error", "critical", "exception") and error:
        from sentry_sdk.utils import event_from_exception  # noqa: PLC0415

        found = sys.exc_info() if error is True else error
        described, _hint = event_from_exception(found, client_options=sentry().options)
        for value in described["exception"]["values"]:
            if (value.get("module") or "").startswith("psycopg"):
                # The lines after the first have values of rows.
                value["value"] = value["value"].partition("\n")[0]
        described["level"] = "error"
        described["tags"] = {
            name: str(event[key])
            for name, key in (("event", "event"), ("process", "process"), ("request_id", "request_id"))
            if event.get(key)
        }
        sentry().capture_event(described)
    return event


def flush() -> None:
    """Send the reports that wait, within two seconds."""
    if (client := sentry.peek()) is not None:
        client.flush(FLUSH_SECONDS)
