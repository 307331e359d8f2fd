"""The daemon's own access key: made once, kept in a file that only its owner can read."""

from __future__ import annotations

import json
import os
import secrets
import stat
import string
from collections.abc import Iterator, Mapping
from pathlib import Path

from eventflow.directories import sync_directory
from eventflow.errors import EventflowError

#: Access keys are 20 characters as AWS's are, with a beginning of our own, so that nobody takes one for an AWS key.
PREFIX = "EVFL"
KEY_ALPHABET = string.ascii_uppercase + "234567"
SECRET_ALPHABET = string.ascii_letters + string.digits + "+/"


class CredentialsError(EventflowError):
    """The credentials file cannot be used; the text says what to do."""


class Credentials(Mapping[str, str]):
    """One access key: a mapping from the access key id to its secret."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self.access_key = access_key
        self.secret_key = secret_key

    @classmethod
    def create(cls) -> Credentials:
        access_key = PREFIX + "".join(secrets.choice(KEY_ALPHABET) for _ in range(16))
        return cls(access_key, "".join(secrets.choice(SECRET_ALPHABET) for _ in range(40)))

    @classmethod
    def load_or_create(cls, path: Path) -> Credentials:
        """Read the file, or make it with fresh credentials. Raises CredentialsError."""
        try:
            return cls.load(path)
        except FileNotFoundError:
            cls.create().save(path)
            return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Credentials:
        """Read the file; FileNotFoundError if there is none, CredentialsError if it is not ours alone or not credentials."""
        with path.open("rb") as file:
            refuse_shared(path, os.fstat(file.fileno()))
            try:
                content = json.load(file)
                return cls(str(content["access_key_id"]), str(content["secret_access_key"]))
            except (ValueError, KeyError, TypeError) as error:
                raise CredentialsError(
                    f"The credentials file {path} does not hold access_key_id and secret_access_key as JSON ({error}). "
                    "Remove it: the daemon makes new credentials when it starts."
                ) from error

    def save(self, path: Path) -> None:
        """Write the file: it is there whole, or not at all."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump({"access_key_id": self.access_key, "secret_access_key": self.secret_key}, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)

    def __getitem__(self, access_key: str) -> str:
        if access_key != self.access_key:
            raise KeyError(access_key)
        return self.secret_key

    def __iter__(self) -> Iterator[str]:
        return iter((self.access_key,))

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return f"Credentials({self.access_key!r}, ...)"


def refuse_shared(path: Path, status: os.stat_result) -> None:
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        mode = stat.S_IMODE(status.st_mode)
        raise CredentialsError(f"The credentials file {path} can be read by others (mode {mode:04o}). Run `chmod 600 {path}` and start again.")
