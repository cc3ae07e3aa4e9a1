"""The configuration with passwords that are hashed in no time: most tests create players, and few are about hashing."""

from web.gunicorn_conf import *  # noqa: F403
from web.gunicorn_conf import post_worker_init as initialize


def post_worker_init(worker) -> None:  # type: ignore[no-untyped-def, no-redef]
    from tests.support.cheap_hashes import make_hashes_cheap

    make_hashes_cheap()
    initialize(worker)
