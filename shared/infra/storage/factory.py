"""The storage that the settings choose."""

from shared.infra.per_process import per_process
from shared.infra.storage.base import Storage
from shared.infra.storage.local import LocalStorage
from shared.settings import settings


@per_process
def storage() -> Storage:
    """Return this process's storage: a bucket if FILES_S3_BUCKET names one, else a directory."""
    if settings().files_s3_bucket is not None:
        # boto3 is large: only processes that use a bucket load it.
        from shared.infra.storage.s3 import S3Storage  # noqa: PLC0415

        return S3Storage.from_settings(settings())
    return LocalStorage(settings().files_path)
