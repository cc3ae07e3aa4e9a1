"""A bucket of a server that behaves as S3. The conftest of a slice imports the fixture."""

from collections.abc import Iterator
from typing import Any

import pytest

from script.stack.ports import LOOPBACK, free_port
from shared.infra.storage import s3


@pytest.fixture(scope="session")
def bucket() -> Iterator[Any]:
    """Start a moto server and return a storage on an empty bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(LOOPBACK, free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("NO_PROXY", LOOPBACK)
        from shared.settings import settings

        chosen = {"endpoint": f"http://{host}:{port}", "region": "us-east-1", "bucket": "waymark-tests"}
        changed = settings().model_copy(update={f"files_s3_{name}": value for name, value in chosen.items()})
        storage = s3.S3Storage.from_settings(changed)
        storage._client.create_bucket(Bucket="waymark-tests")
        yield storage
    server.stop()
