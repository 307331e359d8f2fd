"""``eventflow journal``: what people see of a sound and of a damaged state file."""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from eventflow.cli.main import cli
from eventflow.state_directory import StateDirectory

DUMP = Path(__file__).parent.parent / "fixtures" / "journal-0.1.0.sql"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "eventflow.db")) as connection:
        connection.executescript(DUMP.read_text())
    return tmp_path


def run(state: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["journal", *arguments, "--state", str(state)])


def damage(state: Path) -> None:
    with (state / "eventflow.db").open("r+b") as file:
        file.write(b"X")


def test_a_sound_file_is_told_with_its_counts(state: Path) -> None:
    result = run(state, "check")
    assert result.exit_code == 0, result.output
    assert "2 ready, 1 waiting, 4 done, 1 dead" in result.output
    assert "7 attempts" in result.output
    assert "journal 1" in result.output
    assert result.output.rstrip().endswith("sound")
    assert json.loads(run(state, "check", "--json").output)["sound"] is True


def test_a_damaged_file_is_told_repaired_and_kept(state: Path) -> None:
    damage(state)
    found = run(state, "check")
    assert found.exit_code == 1
    assert "1 problems" in found.output
    assert "eventflow journal repair" in found.output
    result = run(state, "repair")
    assert result.exit_code == 0, result.output
    (kept,) = state.glob("eventflow.db.damaged-*")
    assert str(kept) in result.output
    assert kept.read_bytes()[:1] == b"X"
    assert "events" in result.output
    assert run(state, "check").exit_code == 0
    assert (state / "eventflow.db").stat().st_mode & 0o777 == 0o600


def test_repair_tells_in_json_what_was_saved(state: Path) -> None:
    damage(state)
    said = json.loads(run(state, "repair", "--json").output)
    assert said["tables"]["events"] == {"rows": 8, "of_strays": 0, "bad_rows": 0, "bad_pages": 0, "refused": 0}
    assert said["kept"].startswith(str(state))


def test_repairing_a_sound_file_changes_nothing(state: Path) -> None:
    before = (state / "eventflow.db").read_bytes()
    result = run(state, "repair")
    assert result.exit_code == 0
    assert "nothing was changed" in result.output
    assert (state / "eventflow.db").read_bytes() == before


def test_repair_refuses_while_a_daemon_runs_and_check_does_not(state: Path) -> None:
    owner = StateDirectory(state)
    owner.acquire("shop.py")
    try:
        refused = run(state, "repair")
        assert refused.exit_code == 1
        assert "belongs to a running daemon" in refused.output
        assert "shop.py" in refused.output
        assert run(state, "check").exit_code == 0
        assert owner.owner() is not None
    finally:
        owner.release()
    assert owner.owner() is None


def test_a_repair_by_root_leaves_the_files_to_their_owner(state: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can repair what is another user's")
    damage(state)
    os.chown(state / "eventflow.db", 12_345, 12_345)
    assert run(state, "repair").exit_code == 0
    assert (state / "eventflow.db").stat().st_uid == 12_345
    assert not (state / "run").exists()


def test_a_repair_that_finds_no_room_says_so_and_changes_nothing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(state)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=1000))
    refused = run(state, "repair")
    assert refused.exit_code == 1
    assert "Make room" in refused.output
    assert sorted(path.name for path in state.iterdir()) == ["daemon.lock", "eventflow.db"]


@pytest.mark.parametrize("verb", ["check", "repair"])
def test_where_there_is_no_state_file_that_is_said(tmp_path: Path, verb: str) -> None:
    result = run(tmp_path / "nowhere", verb)
    assert result.exit_code == 1
    assert "There is no state file" in result.output
    assert not (tmp_path / "nowhere").exists()
