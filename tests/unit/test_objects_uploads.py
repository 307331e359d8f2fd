"""Multipart uploads: parts are durable, joined in order, and gone when they are no longer needed."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from pathlib import Path

import pytest
from objects_world import BUCKET, World, body, in_world

from eventflow.errors import ServiceError
from eventflow.services.objects.checksums import Checksum, encoded, new_digest
from eventflow.services.objects.conditions import WriteConditions
from eventflow.services.objects.stored import Attributes, Author
from eventflow.services.objects.upload_index import Upload
from eventflow.services.objects.uploads import SMALLEST_PART, Completion, NamedPart
from eventflow.services.objects.writer import Expected

BIG, REST = os.urandom(SMALLEST_PART), os.urandom(1000)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


async def begin(world: World, algorithm: str | None = None, kind: str | None = None) -> Upload:
    return await world.objects.uploads.begin(world.bucket, "d/k", Attributes("text/x", {}, {"a": "b"}), algorithm, kind)


async def send(world: World, upload: Upload, number: int, content: bytes) -> NamedPart:
    part, checksum = await world.objects.uploads.put_part(world.bucket, upload, number, body(content), Expected())
    return NamedPart(number, part.etag, checksum)


def test_parts_sent_before_a_restart_become_the_object_after_it(tmp_path: Path) -> None:
    async def before(world: World) -> tuple[Upload, list[NamedPart]]:
        upload = await begin(world)
        rest = await send(world, upload, 7, REST)
        await send(world, upload, 3, b"replaced")
        big = await send(world, upload, 3, BIG)
        unwanted = await send(world, upload, 9, b"not named at the end")
        assert [part.number for part in await world.objects.uploads.parts(upload)] == [3, 7, 9]
        assert len(world.temporaries()) == 3
        assert await world.keys() == []
        assert unwanted.number == 9
        return upload, [big, rest]

    upload, parts = in_world(tmp_path, before)

    async def after(world: World) -> None:
        assert await world.objects.uploads.list(world.bucket, "d/") == [upload]
        stored = await world.objects.uploads.complete(world.bucket, "d/k", upload.id, Completion(parts, Author("me")))
        joined = bytes.fromhex(md5(BIG)) + bytes.fromhex(md5(REST))
        assert stored.version.etag == f"{md5(joined)}-2"
        assert (stored.version.action, stored.version.principal, stored.parts.sizes) == ("CompleteMultipartUpload", "me", (len(BIG), len(REST)))
        assert stored.attributes.metadata == {"a": "b"}
        assert await world.objects.head(BUCKET, "d/k") == stored
        assert await world.read("d/k") == BIG + REST
        assert world.temporaries() == []
        with pytest.raises(ServiceError, match="NoSuchUpload"):
            await world.objects.uploads.complete(world.bucket, "d/k", upload.id, Completion(parts))

    in_world(tmp_path, after)


def test_joining_without_the_kernels_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []

    def half(source: int, target: int, size: int) -> int:
        if copied:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        copied.append(os.write(target, os.read(source, 1000)))
        return copied[0]

    monkeypatch.setattr(os, "copy_file_range", half, raising=False)

    async def work(world: World) -> None:
        upload = await begin(world)
        parts = [await send(world, upload, number, content) for number, content in ((1, BIG), (2, REST))]
        stored = await world.objects.uploads.complete(world.bucket, "d/k", upload.id, Completion(parts))
        assert stored.version.size == len(BIG) + len(REST)
        assert await world.read("d/k") == BIG + REST

    in_world(tmp_path, work)
    assert copied == [1000]


@pytest.mark.parametrize("kind", ["COMPOSITE", "FULL_OBJECT"])
def test_checksums_of_parts_and_of_the_whole(tmp_path: Path, kind: str) -> None:
    def crc(content: bytes) -> bytes:
        digest = new_digest("CRC32")
        digest.update(content)
        return digest.digest()

    async def work(world: World) -> None:
        upload = await begin(world, "CRC32", kind)
        parts = [await send(world, upload, number, content) for number, content in ((1, BIG), (2, REST))]
        assert parts[1].checksum == Checksum("CRC32", encoded(crc(REST)))
        value = encoded(crc(BIG + REST)) if kind == "FULL_OBJECT" else f"{encoded(crc(crc(BIG) + crc(REST)))}-2"
        wrong = Completion(parts, checksum=Checksum("CRC32", "AAAAAA=="))
        with pytest.raises(ServiceError, match="BadDigest"):
            await world.objects.uploads.complete(world.bucket, "d/k", upload.id, wrong)
        stored = await world.objects.uploads.complete(world.bucket, "d/k", upload.id, Completion(parts))
        assert stored.checksum == Checksum("CRC32", value, kind)

    in_world(tmp_path, work)


def test_completions_that_are_refused_can_be_repaired(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        uploads = world.objects.uploads
        upload = await begin(world)
        big, rest, last = [await send(world, upload, number, content) for number, content in ((1, BIG), (2, REST), (3, REST))]
        for code, completion in (
            ("MalformedXML", Completion([])),
            ("InvalidPartOrder", Completion([rest, big])),
            ("InvalidPartOrder", Completion([big, big])),
            ("InvalidPart", Completion([big, NamedPart(4, rest.etag)])),
            ("InvalidPart", Completion([NamedPart(1, rest.etag)])),
            ("EntityTooSmall", Completion([big, rest, last])),
            ("InvalidRequest", Completion([big, rest], size=5)),
            ("NoSuchKey", Completion([big, rest], conditions=WriteConditions(if_match="x"))),
        ):
            with pytest.raises(ServiceError) as refused:
                await uploads.complete(world.bucket, "d/k", upload.id, completion)
            assert refused.value.code == code
        await world.put("other/k")
        for key, id in (("other", upload.id), ("d/k", "none")):
            with pytest.raises(ServiceError, match="NoSuchUpload"):
                await uploads.complete(world.bucket, key, id, Completion([big, rest]))
        await uploads.complete(world.bucket, "d/k", upload.id, Completion([big, rest]))
        assert world.temporaries() == []

    in_world(tmp_path, work)


@pytest.mark.parametrize(
    "algorithm, kind, code",
    [
        ("SHA256", "FULL_OBJECT", "InvalidRequest"),
        ("CRC64NVME", "COMPOSITE", "InvalidRequest"),
        (None, "COMPOSITE", "InvalidRequest"),
        ("XXHASH3", None, "NotImplemented"),
    ],
)
def test_checksums_that_cannot_be_combined_so(tmp_path: Path, algorithm: str | None, kind: str | None, code: str) -> None:
    async def work(world: World) -> None:
        with pytest.raises(ServiceError) as refused:
            await begin(world, algorithm, kind)
        assert refused.value.code == code

    in_world(tmp_path, work)


def test_aborted_uploads_and_those_of_deleted_buckets_leave_nothing(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        uploads = world.objects.uploads
        upload = await begin(world)
        await send(world, upload, 1, REST)
        await uploads.abort(world.bucket, "d/k", upload.id)
        assert world.temporaries() == []
        with pytest.raises(ServiceError, match="NoSuchUpload"):
            await send(world, upload, 2, REST)
        assert world.temporaries() == []
        await send(world, await begin(world), 1, REST)
        await world.objects.delete_bucket(BUCKET)
        world.bucket = await world.objects.ensure_bucket(BUCKET)
        assert await uploads.list(world.bucket, "") == []

    in_world(tmp_path, work)


def test_parts_out_of_range_and_of_another_algorithm(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        upload = await begin(world, "CRC32")
        for number in (0, 10_001):
            with pytest.raises(ServiceError, match="between 1 and 10000"):
                await send(world, upload, number, REST)
        with pytest.raises(ServiceError, match="Checksum Type mismatch"):
            await world.objects.uploads.put_part(world.bucket, upload, 1, body(REST), Expected(algorithm="SHA1"))
        part = await send(world, upload, 1, REST)
        with pytest.raises(ServiceError, match="must include the checksum"):
            await world.objects.uploads.complete(world.bucket, "d/k", upload.id, Completion([NamedPart(1, part.etag)]))

    in_world(tmp_path, work)


def test_completing_twice_at_once_makes_one_object(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        upload = await begin(world)
        completion = Completion([await send(world, upload, 1, REST)])
        ended = await asyncio.gather(
            *(world.objects.uploads.complete(world.bucket, "d/k", upload.id, completion) for _ in range(3)), return_exceptions=True
        )
        assert sum(isinstance(end, ServiceError) and end.code == "NoSuchUpload" for end in ended) == 2
        assert await world.read("d/k") == REST

    in_world(tmp_path, work)
