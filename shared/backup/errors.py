"""Errors of backups. Each message says what is wrong and what to do, and contains no password."""


class BackupError(Exception):
    """The operation failed."""


class BackupDamaged(BackupError):
    """The backup is not what was written, or its data breaks a promise."""
