"""The configuration without the exit hook that stores visits, for a negative control."""

from tests.system.gunicorn_with_slow_visit_flush import *  # noqa: F403


def worker_exit(server, worker) -> None:  # type: ignore[no-untyped-def, no-redef]
    pass
