"""What can go wrong, as sentences: each error says what happened, where, and what to do next."""

from __future__ import annotations

from typing import Any


class EventflowError(Exception):
    """The root of every error that eventflow raises on purpose. The command line ends with ``exit_status``."""

    exit_status = 1


class SettingError(EventflowError, ValueError):
    """A setting has a value that cannot be enforced; the text names who, which setting, the value and the range."""


class LoadError(EventflowError):
    """An application could not be loaded."""


class StateInUse(EventflowError):
    """Another daemon owns the state directory."""


class StorageError(EventflowError):
    """The state could not be written (disk full, read-only, I/O error); nothing of the refused change was kept."""


class StateDamaged(StorageError):
    """The state file's content is not what SQLite wrote. Starting again does not help; ``eventflow journal repair`` does."""

    exit_status = 65  # EX_DATAERR of <sysexits.h>


class ServiceError(EventflowError):
    """An AWS error: a service's rules raise it, the endpoint turns it into the bytes of the caller's protocol.

    ``code`` is the error's name as the SDKs know it (``ConditionalCheckFailedException``), ``status`` the HTTP status,
    ``members`` further members of the error's shape in the service model (for example ``{"Reason": ...}``).
    """

    def __init__(self, code: str, message: str, status: int = 400, **members: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members = members


class Throttled(EventflowError):
    """A synchronous invocation found no free concurrency. ``reason`` is Lambda's word for it."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class PayloadTooLarge(EventflowError):
    """An event or response is larger than Lambda allows."""


class Overloaded(EventflowError):
    """More waits for the disk, or arrives at once, than the daemon keeps in memory: nothing of what was refused was kept. Wait and send it again."""
