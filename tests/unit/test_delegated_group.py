"""Finding the control group that systemd delegated to the daemon, on a tree of plain files."""

import os
from pathlib import Path

import pytest

from eventflow.runtime import limits
from eventflow.runtime.limits import OURSELVES, delegated, make_room

ME = os.getpid()


@pytest.fixture(autouse=True)
def marked(monkeypatch):
    """As systemd marks it."""
    monkeypatch.setattr(limits, "is_marked", lambda _folder: True)


def tree(folder: Path, pids: str, group: str = "system.slice/shop.service") -> tuple[Path, Path]:
    root, membership = folder / "cgroup", folder / "membership"
    own = root / group
    own.mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpu memory pids")
    (own / "cgroup.subtree_control").write_text("")
    (own / "cgroup.procs").write_text(pids)
    membership.write_text(f"0::/{group}\n")
    return root, membership


def test_a_group_of_our_own_is_found(tmp_path: Path) -> None:
    root, membership = tree(tmp_path, f"{ME}\n")
    assert delegated(root, membership) == root / "system.slice/shop.service"


def test_it_is_found_again_after_we_made_room_in_it(tmp_path: Path) -> None:
    root, membership = tree(tmp_path, f"{ME}\n")
    own = root / "system.slice/shop.service"
    make_room(own)
    assert (own / OURSELVES / "cgroup.procs").read_text() == str(ME)
    (own / "cgroup.procs").write_text("")  # as the kernel does
    membership.write_text(f"0::/system.slice/shop.service/{OURSELVES}\n")
    assert delegated(root, membership) == own


def test_a_group_that_is_shared_with_others_is_left_alone(tmp_path: Path) -> None:
    root, membership = tree(tmp_path, f"{ME}\n1\n")
    assert delegated(root, membership) is None


def test_a_group_of_another_user_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    root, membership = tree(tmp_path, f"{ME}\n")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert delegated(root, membership) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="root owns groups that were not given to it")
def test_a_group_that_root_owns_but_was_not_given_is_left_alone(tmp_path: Path, monkeypatch) -> None:
    root, membership = tree(tmp_path, f"{ME}\n")
    monkeypatch.setattr(limits, "is_marked", lambda _folder: False)
    assert delegated(root, membership) is None


def test_the_root_group_and_version_1_are_not_ours(tmp_path: Path) -> None:
    root, membership = tree(tmp_path, f"{ME}\n")
    membership.write_text("0::/\n")
    assert delegated(root, membership) is None
    membership.write_text("9:name=systemd:/x\n8:memory:/x\n")
    assert delegated(root, membership) is None
    membership.write_text("0::/system.slice/shop.service\n")
    (root / "cgroup.controllers").unlink()
    assert delegated(root, membership) is None
