"""A bucket, for tests of backups in one."""

from tests.support.buckets import bucket

__all__ = ["bucket"]
