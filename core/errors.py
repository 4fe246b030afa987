"""What can go wrong, said to people.

Every foreseeable failure is a :class:`DBackupError`: one sentence that says what is wrong, a hint that says
what to do, and whether trying again can help. Adapters translate foreign exceptions into these at the edge.
No message, hint or cause may carry a secret: all three reach logs and Prefect's database.
"""

from __future__ import annotations

from typing import Any, ClassVar

from core.masking import mask


class DBackupError(Exception):
    """Base of every error the program raises on purpose.

    ``message`` says what is wrong, ``hint`` what to do about it (may be empty). ``permanent`` is true when the
    same call would fail again without somebody changing something; a retry policy reads it.
    """

    permanent_by_default: ClassVar[bool] = True

    def __init__(self, message: str, *, hint: str = "", permanent: bool | None = None) -> None:
        # The text of a client tool may quote a secret; this is the one door that all of our messages pass.
        self.message, self.hint = mask(message), mask(hint)
        super().__init__(self.message)
        self.permanent = self.permanent_by_default if permanent is None else permanent

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions cross process boundaries; the default would drop the keyword-only arguments.
        return (_rebuild, (type(self), self.message, self.hint, self.permanent), self.__dict__)


def _rebuild(kind: type[DBackupError], message: str, hint: str, permanent: bool) -> DBackupError:
    return kind(message, hint=hint, permanent=permanent)


class UnexpectedError(DBackupError):
    """A failure that nobody foresaw: a bug, here or in a library. The log has the details, masked."""


class RunFailed(DBackupError):
    """A run ended without success; ``report`` tells what is safe and what is not."""

    def __init__(self, message: str, *, hint: str = "", permanent: bool | None = None, report: Any = None) -> None:
        super().__init__(message, hint=hint, permanent=permanent)
        self.report = report


class ConfigurationError(DBackupError):
    """A setting, a name or a combination of options that cannot work."""


class NotFound(ConfigurationError):
    """Nothing has the name that was given."""


class WrongName(ConfigurationError):
    """A name that somebody has chosen cannot be one, or nothing is saved under it."""


class AdapterError(DBackupError):
    """An outside system answered, but not with what was asked."""


class ConnectionError(AdapterError):
    """An outside system could not be reached, or hung up. Usually worth trying again."""

    permanent_by_default = False


class ToolMissing(AdapterError):
    """A client program that the engine needs is not installed, or not in a version that fits."""


class NotificationError(AdapterError):
    """A message was not delivered."""


class RateLimited(NotificationError):
    """A channel takes no more messages for now; ``retry_after`` is how many seconds it wants to be left alone."""

    permanent_by_default = False

    def __init__(
        self, message: str, *, hint: str = "", permanent: bool | None = None, retry_after: float = 0.0
    ) -> None:
        super().__init__(message, hint=hint, permanent=permanent)
        self.retry_after = retry_after


class StorageError(AdapterError):
    """A destination refused or failed an operation."""


class ObjectExists(StorageError):
    """The key is taken; nothing is ever overwritten."""


class ObjectNotFound(StorageError):
    """No object has this key."""


class ObjectLocked(StorageError):
    """The destination itself keeps the object for now; it cannot be deleted by anybody like us."""


class StorageFull(StorageError):
    """The destination, or the spool's file system, has no room."""


class BackupError(DBackupError):
    """A backup did not come about."""


class DumpError(BackupError):
    """The dump tool failed, or its output is not proven complete."""


class SpoolAborted(BackupError):
    """The dump that an upload was following has failed; the upload has published nothing."""


class RestoreError(DBackupError):
    """A restore did not come about; the target is as it was."""


class TargetExists(RestoreError):
    """Something lies where the restore would go, and overwriting was not asked for."""


class ComparisonFailed(RestoreError):
    """What was restored differs from what the manifest promises."""


class BackupNotFound(DBackupError):
    """No complete backup answers to this reference."""


class BackupLocked(DBackupError):
    """The backup is pinned, or its pin could not be read; it is not deleted."""


class EncryptionError(DBackupError):
    """A key is missing, malformed, or not the one that is needed."""


class WrongKey(EncryptionError):
    """The data was sealed with another key; recognised before any byte is decrypted."""


class IntegrityError(DBackupError):
    """Stored bytes are not what was written."""


class UnsupportedFormat(IntegrityError):
    """Not a backup of ours, or one of a version or cipher this program does not know."""


class DamagedHeader(IntegrityError):
    """The header of an encrypted object was changed."""


class DamagedChunk(IntegrityError):
    """One chunk of an encrypted object was changed."""


class MisplacedChunk(IntegrityError):
    """A chunk is genuine, but stands in another chunk's place."""


class TruncatedObject(IntegrityError):
    """The data ends before its final chunk or its compression frame does."""


class TrailingData(IntegrityError):
    """There are bytes after the end."""


class DamagedData(IntegrityError):
    """A compressed stream is corrupt."""


class ChecksumMismatch(IntegrityError):
    """The SHA-256 or the size of a stored object is not the manifest's."""


class DamagedManifest(IntegrityError):
    """The manifest cannot be read as one."""


class TamperedManifest(IntegrityError):
    """The manifest's authentication code does not hold: somebody changed it."""


class PermissionError(DBackupError):
    """The person who asks may not do this."""


class AuthenticationError(DBackupError):
    """It is not known who asks."""


class SecondFactorNeeded(AuthenticationError):
    """Name and password are right; a code of the second factor is missing."""


class TooManyAttempts(AuthenticationError):
    """Too many wrong passwords or codes; ``retry_after`` is how many seconds the next attempt has to wait."""

    permanent_by_default = False

    def __init__(
        self, message: str, *, hint: str = "", permanent: bool | None = None, retry_after: float = 0.0
    ) -> None:
        super().__init__(message, hint=hint, permanent=permanent)
        self.retry_after = retry_after
