"""Archives that strangers send as code: what is unpacked, what is refused, and that nothing is ever written elsewhere."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventflow.errors import ServiceError
from eventflow.services.functions import archive as archives
from eventflow.services.functions.archive import BROKEN, EMPTY, TOO_LARGE, unpack
from eventflow.services.functions.code import remove_tree

LINK = stat.S_IFLNK | 0o777
Entry = tuple[str, bytes, int]


def packed(*entries: Entry, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = method
            archive.writestr(info, content)
    return out.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(folder: Path, data: bytes, largest: int = archives.LARGEST_UNZIPPED) -> str:
    """Why an archive is refused; what is outside its folder must be as before."""
    inside = folder / "inside"
    inside.mkdir()
    (folder / "beside").write_text("untouched")
    with pytest.raises(ServiceError) as caught:
        unpack(io.BytesIO(data), inside, largest)
    assert caught.value.code == "InvalidParameterValueException"
    assert {path.name for path in folder.iterdir()} == {"inside", "beside"}
    assert (folder / "beside").read_text() == "untouched"
    return caught.value.message


def test_files_come_out_read_only_and_those_that_run_still_do(tmp_path: Path) -> None:
    data = packed(
        ("a.py", b"a", 0o600), ("lib/b.py", b"bb", 0o644), ("bootstrap", b"#!/bin/sh", 0o755), ("empty/", b"", 0o40755), ("x//./y", b"y", 0)
    )
    assert unpack(io.BytesIO(data), tmp_path) == 13
    assert files_below(tmp_path) == {"a.py": b"a", "lib/b.py": b"bb", "bootstrap": b"#!/bin/sh", "x/y": b"y"}
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.py", "bootstrap", "lib", "empty", "x/y", ".")}
    assert modes == {"a.py": 0o444, "bootstrap": 0o555, "lib": 0o555, "empty": 0o555, "x/y": 0o444, ".": 0o555}


@pytest.mark.parametrize(
    "entries",
    [
        [("../beside", b"x", 0o644)],
        [("a/../../beside", b"x", 0o644)],
        [("/etc/x", b"x", 0o644)],
        [("a", b"x", 0o644), ("a", b"y", 0o644)],
        [("a", b"x", 0o644), ("a/b", b"y", 0o644)],
        [("a/b", b"x", 0o644), ("a", b"y", 0o644)],
        [("out", b"../beside", LINK)],
        [("out", b"/etc/passwd", LINK)],
        [("d/l", b"..", LINK), ("e", b"d/l/../beside", LINK)],  # the one link leads out only through the other
        [("l", b".", LINK), ("l/x", b"x", 0o644)],
        [("pipe", b"", stat.S_IFIFO | 0o644)],
        [("n" * 300, b"x", 0o644)],
        [("", b"x", 0o644)],
    ],
    ids=str,
)
def test_names_and_links_that_lead_elsewhere_are_refused(tmp_path: Path, entries: list[Entry]) -> None:
    with pytest.warns(UserWarning, match="Duplicate name") if len({name for name, _, _ in entries}) < len(entries) else pytest.MonkeyPatch.context():
        data = packed(*entries)
    assert refused(tmp_path, data) == BROKEN


def test_links_that_stay_inside_are_kept(tmp_path: Path) -> None:
    unpack(io.BytesIO(packed(("bin/tool", b"../lib/tool.js", LINK), ("lib/tool.js", b"1", 0o755))), tmp_path)
    assert (str((tmp_path / "bin/tool").readlink()), (tmp_path / "bin/tool").read_bytes()) == ("../lib/tool.js", b"1")


def test_a_bomb_ends_at_the_limit_whatever_its_headers_say(tmp_path: Path) -> None:
    data = bytearray(packed(("bomb", bytes(4_000_000), 0o644)))
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):  # both headers say that it is 7 bytes
        struct.pack_into("<I", data, data.index(signature) + offset, 7)
    written = io.BytesIO(bytes(data))
    assert refused(tmp_path, written.getvalue(), 1_000_000) in (TOO_LARGE, BROKEN)
    assert sum(map(len, files_below(tmp_path / "inside").values())) <= 1_000_000


def test_what_is_larger_together_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, packed(*((str(n), bytes(1000), 0o644) for n in range(5))), 4999) == TOO_LARGE


def test_archives_that_are_none_or_empty_are_refused(tmp_path: Path) -> None:
    for number, (data, why) in enumerate([(b"", EMPTY), (b"no zip at all", BROKEN), (packed(), EMPTY), (packed(("a", b"x" * 99, 0))[:-30], BROKEN)]):
        (tmp_path / str(number)).mkdir()
        assert refused(tmp_path / str(number), data) == why


def test_other_compressions_and_encrypted_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    assert refused(tmp_path / "1", packed(("a", b"x" * 100, 0o644), method=zipfile.ZIP_LZMA)) == BROKEN
    data = bytearray(packed(("a", b"x", 0o644)))
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "2").mkdir()
    assert refused(tmp_path / "2", bytes(data)) == BROKEN


def test_a_list_of_files_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LONGEST_DIRECTORY", 500)
    assert refused(tmp_path, packed(*((f"file-{n}", b"", 0o644) for n in range(20)))) == BROKEN


GOOD = packed(("main.py", b"print(1)\n" * 20, 0o644), ("lib/a.py", b"A = 1\n", 0o644), ("l", b"main.py", LINK), ("run", b"#!/bin/sh\n", 0o755))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_archives_are_unpacked_or_refused_and_touch_nothing_else(tmp_path: Path, changes: Iterable[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    inside = tmp_path / "inside"
    inside.mkdir()
    with contextlib.suppress(ServiceError):
        unpack(io.BytesIO(bytes(data)), inside, 10_000)
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    remove_tree(inside)
    assert not list(tmp_path.iterdir())
