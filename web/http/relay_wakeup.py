"""Wake the relay for the events of a request."""

from flask import Response, after_this_request

from shared.infra.relay_wakeup import wake_relay


def wake_relay_after_request() -> None:
    """Wake the relay once the view has returned: only then is a transaction with an Idempotency-Key committed."""

    @after_this_request
    def wake(response: Response) -> Response:
        wake_relay()
        return response
