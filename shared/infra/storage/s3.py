"""Files in a bucket of S3 or of what speaks like it. Credentials come from where boto3 looks for them.

A file larger than a part goes up in parts (a multipart upload), so that memory stays flat; it appears when the last one
is confirmed. A lifecycle rule that aborts incomplete uploads would do what `purge_drafts` does.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BytesIO
from typing import Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.infra.storage.base import BLOCK_SIZE, Blocks, FileMissing, StorageError, StoredFile, check_name
from shared.settings import Settings

PART = 8 * 2**20
"""Bytes of an upload's part: S3 takes 5 MiB and more, and 10,000 parts, so a file of up to 80 GB."""
KEY_PREFIX = "renders/"
"""What all names begin with: the bucket may hold other applications' files."""
NOT_FOUND_CODES = ("404", "NoSuchKey", "NotFound")


class S3Storage:
    """One bucket."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        config = Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "max_attempts": 4},
            request_checksum_calculation="when_required",  # not everything that speaks S3 knows the newer checksums
            response_checksum_validation="when_required",
        )
        client = boto3.client(
            "s3", endpoint_url=settings.files_s3_endpoint, region_name=settings.files_s3_region, config=config
        )
        return cls(client, str(settings.files_s3_bucket))

    @contextmanager
    def write(self, name: str) -> Iterator["_Upload"]:
        upload = _Upload(self._client, self._at(name))
        try:
            yield upload
            with _translate_errors():
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
        with _translate_errors():
            body = self._client.get_object(**where)["Body"]
        return Blocks(_blocks(body), body)

    def size(self, name: str) -> int:
        with _translate_errors():
            return int(self._client.head_object(**self._at(name))["ContentLength"])

    def delete(self, name: str) -> None:
        with _translate_errors():
            self._client.delete_object(**self._at(name))

    def list_files(self, prefix: str) -> Iterator[StoredFile]:
        check_name(prefix + "x")
        with _translate_errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            for page in pages:
                for found in page.get("Contents", ()):
                    yield StoredFile(found["Key"], found["LastModified"])

    def purge_drafts(self, before: datetime) -> int:
        gone = 0
        with _translate_errors():
            uploads = self._client.get_paginator("list_multipart_uploads")
            for page in uploads.paginate(Bucket=self._bucket, Prefix=KEY_PREFIX):
                for draft in page.get("Uploads", ()):
                    if draft["Initiated"] < before:
                        where = {"Bucket": self._bucket, "Key": draft["Key"], "UploadId": draft["UploadId"]}
                        self._client.abort_multipart_upload(**where)
                        gone += 1
        return gone

    def _at(self, name: str) -> dict[str, str]:
        check_name(name)
        return {"Bucket": self._bucket, "Key": name}


class _Upload:
    """A file on its way up."""

    def __init__(self, client: Any, where: dict[str, str]) -> None:
        self._client = client
        self._where = where
        self._waiting = bytearray()
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) >= PART:
            with _translate_errors():
                self._send(bytes(self._waiting[:PART]))
            del self._waiting[:PART]

    def finish(self) -> None:
        """Send the rest, and let the file appear."""
        if self._id is None:
            self._client.put_object(**self._where, Body=bytes(self._waiting))
            return
        if self._waiting:
            self._send(bytes(self._waiting))
        self._client.complete_multipart_upload(**self._where, UploadId=self._id, MultipartUpload={"Parts": self._parts})

    def abort(self) -> None:
        """Leave nothing of it."""
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
def _translate_errors() -> Iterator[None]:
    """What the bucket refuses, as the storage's errors: without its name or its address."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in NOT_FOUND_CODES:
            raise FileMissing("The file is not there.") from error
        raise StorageError(f"The storage for files refused: {code or 'unknown'}.") from error
    except BotoCoreError as error:
        raise StorageError(f"The storage for files does not answer: {type(error).__name__}.") from error


def _blocks(body: Any) -> Iterator[bytes]:
    try:
        with _translate_errors():
            yield from body.iter_chunks(BLOCK_SIZE)
    finally:
        body.close()
