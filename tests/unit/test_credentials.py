"""The credentials file: made once, ours alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from eventflow.aws.credentials import Credentials, CredentialsError


def test_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    first = Credentials.load_or_create(path)
    assert re.fullmatch(r"EVFL[A-Z2-7]{16}", first.access_key)
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", first.secret_key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert dict(Credentials.load_or_create(path)) == dict(first) == {first.access_key: first.secret_key}
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_two_are_never_the_same() -> None:
    assert Credentials.create().secret_key != Credentials.create().secret_key


def test_a_secret_is_not_shown() -> None:
    credentials = Credentials.create()
    assert credentials.secret_key not in repr(credentials)
    with pytest.raises(KeyError):
        credentials["EVFLOTHER"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "credentials.json"
    Credentials.load_or_create(path)
    path.chmod(mode)
    with pytest.raises(CredentialsError, match=f"mode {mode:04o}.*chmod 600 {path}"):
        Credentials.load_or_create(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({"access_key_id": "x"})])
def test_a_file_that_holds_no_credentials_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(CredentialsError, match="Remove it"):
        Credentials.load_or_create(path)


def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Credentials.load_or_create(tmp_path / "missing" / "credentials.json")
