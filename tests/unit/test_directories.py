"""Directories that outlive a power cut."""

from pathlib import Path

import pytest
from objects_world import noted_syncs

from eventflow.database import create_private
from eventflow.directories import make_directory


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return noted_syncs(monkeypatch)


def test_the_names_of_all_directories_that_are_made_are_synced(tmp_path: Path, synced: list[int]) -> None:
    make_directory(tmp_path / "a" / "b" / "c")
    assert synced == [(tmp_path / "a" / "b").stat().st_ino, (tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]


def test_the_name_of_one_that_is_there_is_synced_too(tmp_path: Path, synced: list[int]) -> None:
    (tmp_path / "a").mkdir()
    make_directory(tmp_path / "a")
    assert synced == [tmp_path.stat().st_ino]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError):
        make_directory(tmp_path / "a")


def test_the_name_of_the_state_file_is_synced(tmp_path: Path, synced: list[int]) -> None:
    create_private(tmp_path / "eventflow.db")
    assert synced == [tmp_path.stat().st_ino]
