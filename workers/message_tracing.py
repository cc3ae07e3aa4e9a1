"""A span for each message that a worker handles, if tracing is on."""

from contextlib import ExitStack
from typing import Any

import dramatiq
from dramatiq.broker import MessageProxy
from dramatiq.middleware import Middleware

from shared.infra.tracing import tracing


class MessageTracing(Middleware):
    """Opens the span before all other middleware, so that the log lines of the actor have its ids.

    Its parent is the request that sent the message, unless the message is a wakeup: those carry nothing.
    """

    def __init__(self) -> None:
        self._open: dict[str, ExitStack] = {}

    def before_process_message(self, broker: dramatiq.Broker, message: MessageProxy) -> None:
        stack = self._open[message.message_id] = ExitStack()
        span = tracing.span(
            f"message {message.actor_name}",
            kind="consumer",
            traceparent=message.options.get("traceparent"),
            attributes={"messaging.destination.name": message.queue_name},
        )
        stack.enter_context(span)

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: Any = None,
        exception: BaseException | None = None,
    ) -> None:
        if (stack := self._open.pop(message.message_id, None)) is not None:
            stack.__exit__(type(exception) if exception else None, exception, None)

    after_skip_message = after_process_message
