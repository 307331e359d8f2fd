"""What a body is summed up by when nobody asked for a checksum: CRC64NVME, as on S3, where that is quick."""

from __future__ import annotations

from pathlib import Path

import pytest
from objects_world import BUCKET, World, in_world

from eventflow.digests import is_quick
from eventflow.services.objects import CopySource, checksums
from eventflow.services.objects.checksums import Checksum
from eventflow.services.objects.stored import StoredObject
from eventflow.services.objects.writer import Expected, Writing

#: The catalogue's check value of CRC-64/NVME, in Base64.
CHECK = "rosUhgp5mIg="


def stored(tmp_path: Path, expected: Expected) -> tuple[StoredObject, StoredObject]:
    """An object that was put so, and a copy of it."""

    async def work(world: World) -> tuple[StoredObject, StoredObject]:
        put = await world.put("k", b"123456789", Writing(expected=expected))
        copy = await world.objects.copy(CopySource(BUCKET, "k"), BUCKET, "copy", Writing())
        return put, copy.stored

    return in_world(tmp_path, work)


@pytest.mark.parametrize("quick", [True, False])
def test_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool) -> None:
    monkeypatch.setattr(checksums, "is_quick", lambda algorithm: quick)
    expected = Checksum("CRC64NVME", CHECK) if quick else None
    assert [one.checksum for one in stored(tmp_path, Expected())] == [expected, expected]


def test_who_asks_for_another_gets_that_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "is_quick", lambda algorithm: True)
    assert [one.checksum and one.checksum.algorithm for one in stored(tmp_path, Expected(algorithm="CRC32"))] == ["CRC32", "CRC32"]


def test_what_is_quick() -> None:
    assert is_quick("CRC32")
    assert is_quick("SHA256")
    assert is_quick("CRC32C") == is_quick("CRC64NVME")
