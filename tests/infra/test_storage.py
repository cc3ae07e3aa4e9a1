"""The storage contract, for a directory and for a bucket."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from script.stack.ports import LOOPBACK, free_port
from script.stack.running_server import CHECKOUT
from shared.infra.storage import s3
from shared.infra.storage.base import BLOCK_SIZE, FileMissing, Storage, StorageError, check_name
from shared.infra.storage.local import LocalStorage

LARGE = bytes(range(256)) * 1024 * 5  # more than a block


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path)
    found: s3.S3Storage = request.getfixturevalue("bucket")
    for name, _ in list(found.list_files("renders/")):
        found.delete(name)
    return found


def put(storage: Storage, name: str, *blocks: bytes) -> None:
    with storage.write(name) as out:
        for block in blocks:
            out.write(block)


def names(storage: Storage, prefix: str = "renders/") -> list[str]:
    return sorted(name for name, _ in storage.list_files(prefix))


def test_written_file_can_be_read(storage: Storage) -> None:
    put(storage, "renders/a/1", b"one", b"two")

    assert b"".join(storage.read("renders/a/1")) == b"onetwo"
    assert storage.size("renders/a/1") == 6


def test_empty_file_exists(storage: Storage) -> None:
    put(storage, "renders/a/1")

    assert (storage.size("renders/a/1"), b"".join(storage.read("renders/a/1"))) == (0, b"")


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (5, 5), (7, None), (BLOCK_SIZE - 1, BLOCK_SIZE + 1), (0, len(LARGE))]
)
def test_ranges_return_their_bytes(storage: Storage, start: int, stop: int | None) -> None:
    put(storage, "renders/a/1", LARGE)

    assert b"".join(storage.read("renders/a/1", start, stop)) == LARGE[start:stop]


@pytest.mark.parametrize("read", [0, 1])
def test_closing_early_leaves_nothing_open(storage: Storage, read: int) -> None:
    put(storage, "renders/a/1", LARGE)
    blocks = storage.read("renders/a/1")
    for _ in range(read):
        next(blocks)
    file: Any = blocks._file

    blocks.close()

    assert getattr(file, "_raw_stream", file).closed


def test_large_file_is_read_and_written_in_blocks(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket receives it in parts."""
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 2**20)
    put(storage, "renders/a/1", *[LARGE] * 9)

    blocks = list(storage.read("renders/a/1"))

    assert b"".join(blocks) == LARGE * 9
    assert max(map(len, blocks)) <= BLOCK_SIZE


def test_file_is_visible_only_once_complete(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 2**20)
    with storage.write("renders/a/1") as out:
        for _ in range(5):
            out.write(LARGE)
        assert names(storage) == []
        with pytest.raises(FileMissing):
            storage.size("renders/a/1")
    assert names(storage) == ["renders/a/1"]


def test_failed_write_leaves_nothing(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 2**20)

    def fail() -> None:
        with storage.write("renders/a/1") as out:
            for _ in range(5):
                out.write(LARGE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert names(storage) == []
    assert storage.purge_drafts(datetime.now(UTC) + timedelta(days=1)) == 0


def test_drafts_of_a_dead_process_are_purged(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART_BYTES", 5 * 2**20)
    unfinished = storage.write("renders/a/1")
    out = unfinished.__enter__()
    for _ in range(5):
        out.write(LARGE)

    if isinstance(storage, LocalStorage):  # moto says of every upload that it was begun in 2010
        assert storage.purge_drafts(datetime.now(UTC) - timedelta(days=1)) == 0
    assert storage.purge_drafts(datetime.now(UTC) + timedelta(days=1)) == 1
    with pytest.raises(StorageError):
        unfinished.__exit__(None, None, None)


def test_uploads_of_other_applications_are_left_alone(bucket: s3.S3Storage) -> None:
    where = {"Bucket": "waymark-tests", "Key": "backups/a"}
    upload = bucket._client.create_multipart_upload(**where)
    try:
        assert bucket.purge_drafts(datetime.now(UTC) + timedelta(days=1)) == 0
    finally:
        bucket._client.abort_multipart_upload(**where, UploadId=upload["UploadId"])


@pytest.mark.parametrize("use", ["size", "read"])
def test_missing_file_is_an_error(storage: Storage, use: str) -> None:
    with pytest.raises(FileMissing):
        getattr(storage, use)("renders/no")


def test_deleting_twice_is_no_error(storage: Storage) -> None:
    put(storage, "renders/a/1", b"one")
    put(storage, "renders/a/2", b"two")

    for _ in range(2):
        storage.delete("renders/a/1")

    assert names(storage) == ["renders/a/2"]


def test_list_files_by_prefix(storage: Storage) -> None:
    for name in ("renders/a/1", "renders/a/2", "renders/b/1"):
        put(storage, name, b"x")

    assert names(storage, "renders/a/") == ["renders/a/1", "renders/a/2"]
    assert names(storage, "renders/c/") == []
    at = next(iter(storage.list_files("renders/b/"))).at
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=5)


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "A", "a b", ".a", "a/.b", "a\n", "a/", "a\\b", "é"]
)
def test_name_cannot_leave_the_storage(storage: Storage, name: str) -> None:
    with pytest.raises(ValueError, match="not a file name"):
        check_name(name)
    with pytest.raises(ValueError, match="not a file name"):
        storage.size(name)
    with pytest.raises(ValueError, match="not a file name"):
        put(storage, name, b"x")


def test_unavailable_bucket_is_an_error_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3
    from botocore.config import Config

    quick = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    client = boto3.client(
        "s3", endpoint_url=f"http://{LOOPBACK}:{free_port()}", region_name="x", config=quick,
        aws_access_key_id="a", aws_secret_access_key="b",
    )  # fmt: skip
    with pytest.raises(StorageError) as refused:
        s3.S3Storage(client, "bucket").size("renders/a")
    assert LOOPBACK not in str(refused.value)


FILL = """
import resource, sys
from pathlib import Path
from shared.infra.storage.local import LocalStorage
from shared.infra.storage.base import StorageFull

resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
storage = LocalStorage(Path(sys.argv[1]))
try:
    with storage.write("renders/a/1") as out:
        for _ in range(100):
            out.write(bytes(100_000))
except StorageFull as error:
    print("FULL", error)
print(list(storage.list_files("renders/")), list((Path(sys.argv[1]) / "drafts").iterdir()))
"""


def test_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path)], cwd=CHECKOUT, env=os.environ, capture_output=True, text=True
    )

    assert done.stdout.splitlines() == ["FULL The storage for files is full.", "[] []"], done.stderr
