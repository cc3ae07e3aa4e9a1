"""Structured logs: JSON lines in production, readable lines on a terminal, with the request id."""

import json
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

import structlog

from shared.infra import error_reporting
from shared.infra.tracing import tracing
from shared.settings import settings

MAX_VALUE = 2_048
"""Characters of one logged value."""


def _one_line(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Escape line breaks and terminal control characters, so that no input can forge a line of the log."""
    for name, value in event.items():
        if isinstance(value, str) and not (len(value) <= MAX_VALUE and value.isprintable()) and name != "exception":
            short = value[:MAX_VALUE]
            event[name] = short if value.isprintable() else short.encode("unicode_escape").decode()
    return event


# One encoder for all lines: json.dumps would create one per line.
ENCODE = json.JSONEncoder(default=repr).encode


def _as_json(event: structlog.typing.EventDict, **_options: Any) -> str:
    return ENCODE(event)


class CurrentStdout:
    """Write to the current `sys.stdout`, which can be replaced or closed after a logger was created."""

    def stream(self) -> TextIO:
        return sys.stdout

    def write(self, text: str) -> int:
        return self.stream().write(text)

    def flush(self) -> None:
        self.stream().flush()


STDOUT = cast("TextIO", CurrentStdout())
"""The stream of every logger."""


def configure(process: str) -> None:
    """Send the logs of structlog and of libraries to stdout in one format. `process` is the name in the Procfile."""

    def name_process(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    error_reporting.check_packages()
    stamps: list[structlog.typing.Processor] = [
        name_process,
        structlog.contextvars.merge_contextvars,
        error_reporting.report if settings().sentry_dsn else _keep,
        _add_trace_ids if settings().otel_exporter_otlp_endpoint else _keep,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if settings().json_logs else _keep,
        _one_line,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(_as_json)
        if settings().json_logs
        else structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    level = logging.getLevelNamesMapping()[settings().log_level]
    structlog.configure(
        processors=[*stamps, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # One write per line, because processes share the pipe.
        logger_factory=structlog.WriteLoggerFactory(STDOUT),
        cache_logger_on_first_use=True,
    )

    handler = logging.StreamHandler(STDOUT)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*stamps, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    # These log a line per tick and per request.
    for noisy in ("apscheduler", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def configure_command() -> None:
    """Send warnings to stderr in readable lines: the stdout of a command is its output. Reads no settings."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, _one_line, structlog.dev.ConsoleRenderer(colors=False)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    # One sentence of the command says that a store is unavailable.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


def log_many(event: str, lines: Iterable[dict[str, Any]]) -> None:
    """Log an event once per line of values. With JSON logs, common fields are computed once and written together."""
    log = get_logger()
    if not log.is_enabled_for(logging.INFO):
        return
    if not settings().json_logs:
        for line in lines:
            log.info(event, **line)
        return
    common: dict[str, Any] = {"event": event}
    for process in structlog.get_config()["processors"][:-1]:
        common = process(log, "info", common)
    text = [ENCODE(_one_line(log, "info", common | line)) for line in lines]
    if text:
        structlog.get_config()["logger_factory"]().info("\n".join(text))


def _add_trace_ids(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.update(tracing.current_ids())
    return event


def _keep(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return event


def get_logger() -> Any:
    return structlog.get_logger()


@contextmanager
def bound_request_id(value: str | None) -> Iterator[None]:
    """Add this request id to every line that is logged inside."""
    with structlog.contextvars.bound_contextvars(request_id=value):
        yield


def bind_request_id(value: str) -> None:
    """Add this request id to every line that this thread logs from now on, in place of an earlier one."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=value)


def current_request_id() -> str | None:
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return request_id if isinstance(request_id, str) else None
