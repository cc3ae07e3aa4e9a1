"""Files in a bucket of S3 or a compatible service. boto3 finds the credentials.

A file larger than a part is a multipart upload, so that memory use is constant. It appears when the last part is
confirmed. A lifecycle rule that aborts incomplete uploads does the same as `purge_drafts`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BytesIO
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.infra.storage.base import (
    BLOCK_SIZE,
    ERRORS,
    Blocks,
    FileMissing,
    Operation,
    StorageError,
    StoredFile,
    check_name,
)
from shared.settings import Settings

PART_BYTES = 8 * 2**20
"""Bytes per part. S3 accepts parts of 5 MiB or more, and 10,000 parts: files of up to 80 GB."""
KEY_PREFIX = "renders/"
"""The prefix of all names. Other applications may share the bucket."""
NOT_FOUND_CODES = ("404", "NoSuchKey", "NotFound")


class S3Storage:
    """The files of one bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @classmethod
    def from_settings(cls, settings: Settings, bucket: str | None = None) -> Self:
        """Return the storage of a bucket, by default of FILES_S3_BUCKET."""
        config = Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "max_attempts": 4},
            # Compatible services may lack the newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        client = boto3.client(
            "s3", endpoint_url=settings.files_s3_endpoint, region_name=settings.files_s3_region, config=config
        )
        return cls(client, bucket or str(settings.files_s3_bucket))

    @contextmanager
    def write(self, name: str) -> Iterator["_Upload"]:
        upload = _Upload(self._client, self._at(name))
        try:
            yield upload
            with _translate_errors("write"):
                upload.finish()
        except BaseException:
            upload.abort()
            raise

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Blocks:
        where = self._at(name)
        if stop is not None and stop <= start:
            self.size(name)
            return Blocks(iter(()), BytesIO())
        if start or stop is not None:
            where["Range"] = f"bytes={start}-" if stop is None else f"bytes={start}-{stop - 1}"
        with _translate_errors("read"):
            body = self._client.get_object(**where)["Body"]
        return Blocks(_blocks(body), body)

    def size(self, name: str) -> int:
        with _translate_errors("size"):
            return int(self._client.head_object(**self._at(name))["ContentLength"])

    def delete(self, name: str) -> None:
        with _translate_errors("delete"):
            self._client.delete_object(**self._at(name))

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        check_name(prefix + "x")
        with _translate_errors("list"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                for item in page.get("Contents", ()):
                    yield StoredFile(item["Key"], item["LastModified"])

    def purge_drafts(self, before: datetime) -> int:
        aborted = 0
        with _translate_errors("purge"):
            uploads = self._client.get_paginator("list_multipart_uploads")
            for page in uploads.paginate(Bucket=self._bucket, Prefix=KEY_PREFIX):
                for draft in page.get("Uploads", ()):
                    if draft["Initiated"] < before:
                        where = {"Bucket": self._bucket, "Key": draft["Key"], "UploadId": draft["UploadId"]}
                        self._client.abort_multipart_upload(**where)
                        aborted += 1
        return aborted

    def _at(self, name: str) -> dict[str, str]:
        check_name(name)
        return {"Bucket": self._bucket, "Key": name}


class _Upload:
    """An unfinished upload."""

    def __init__(self, client: Any, where: dict[str, str]) -> None:
        self._client = client
        self._where = where
        self._buffer = bytearray()
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            with _translate_errors("write"):
                self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]

    def finish(self) -> None:
        """Send the rest. The file then exists."""
        if self._id is None:
            self._client.put_object(**self._where, Body=bytes(self._buffer))
            return
        if self._buffer:
            self._send(bytes(self._buffer))
        self._client.complete_multipart_upload(**self._where, UploadId=self._id, MultipartUpload={"Parts": self._parts})

    def abort(self) -> None:
        """Delete what was sent."""
        if self._id is not None:
            with suppress(BotoCoreError, ClientError):
                self._client.abort_multipart_upload(**self._where, UploadId=self._id)

    def _send(self, part: bytes) -> None:
        if self._id is None:
            self._id = str(self._client.create_multipart_upload(**self._where)["UploadId"])
        number = len(self._parts) + 1
        sent = self._client.upload_part(**self._where, UploadId=self._id, PartNumber=number, Body=part)
        self._parts.append({"PartNumber": number, "ETag": sent["ETag"]})


@contextmanager
def _translate_errors(operation: Operation) -> Iterator[None]:
    """Raise errors of the bucket as StorageError, without its name and address."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in NOT_FOUND_CODES:
            raise FileMissing("The file does not exist.") from error
        ERRORS.labels(operation).inc()
        raise StorageError(f"The storage for files reported an error: {code or 'unknown'}.") from error
    except BotoCoreError as error:
        ERRORS.labels(operation).inc()
        raise StorageError(f"The storage for files is unavailable: {type(error).__name__}.") from error


def _blocks(body: Any) -> Iterator[bytes]:
    try:
        with _translate_errors("read"):
            yield from body.iter_chunks(BLOCK_SIZE)
    finally:
        body.close()
