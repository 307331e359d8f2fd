"""Multipart uploads: parts that arrive in any order, each durable, joined into one object at the end."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass, field, replace

from eventflow import faultpoint
from eventflow.clock import Clock
from eventflow.errors import ServiceError
from eventflow.services.objects.buckets import Bucket
from eventflow.services.objects.checksums import COMPOSITE, CRCS, FULL_OBJECT, Checksum, composite, new_digest
from eventflow.services.objects.conditions import WriteConditions
from eventflow.services.objects.directory import FileState
from eventflow.services.objects.disk import Disk, to_the_end
from eventflow.services.objects.incoming import Incoming, check_size
from eventflow.services.objects.index import Draft
from eventflow.services.objects.keys import check_writable
from eventflow.services.objects.locks import KeyLocks
from eventflow.services.objects.reader import ObjectReader
from eventflow.services.objects.stored import Attributes, Author, Parts, StoredObject
from eventflow.services.objects.upload_index import Completed, Part, Upload, UploadIndex
from eventflow.services.objects.writer import Expected, ObjectWriter

MOST_PARTS = 10_000
SMALLEST_PART = 5 * 1024 * 1024
LARGEST_OBJECT = 5 * 1024**4


@dataclass(frozen=True, slots=True)
class NamedPart:
    """A part as the completing call names it; ``checksum`` base64, where the caller gave one."""

    number: int
    etag: str
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """What the completing call says: the parts in order, and what the whole must turn out to be."""

    parts: Sequence[NamedPart]
    author: Author = field(default_factory=Author)
    conditions: WriteConditions = field(default_factory=WriteConditions)
    size: int | None = None
    checksum: Checksum | None = None


class Uploads:
    def __init__(self, index: UploadIndex, reader: ObjectReader, writer: ObjectWriter, disk: Disk, clock: Clock) -> None:
        self._index = index
        self._reader = reader
        self._writer = writer
        self._disk = disk
        self._clock = clock
        # Its own, beside those of the keys: an upload is held while the key that it becomes is taken.
        self._locks = KeyLocks()

    async def begin(self, bucket: Bucket, key: str, attributes: Attributes, algorithm: str | None, kind: str | None) -> Upload:
        """Begin an upload. ``kind`` is how the parts' checksums make that of the object."""
        check_writable(key)
        upload = Upload(self._clock.new_id(), bucket.name, key, attributes, algorithm, checked_kind(algorithm, kind), self._clock.now())
        await self._index.begin(upload)
        return upload

    async def find(self, bucket: Bucket, key: str, id: str) -> Upload:
        return await self._index.find(bucket.name, key, id)

    async def put_part(
        self, bucket: Bucket, upload: Upload, number: int, body: AsyncIterable[bytes], expected: Expected
    ) -> tuple[Part, Checksum | None]:
        """Store a part; returns once it is on the disk. One of the same number is replaced."""
        if not 1 <= number <= MOST_PARTS:
            raise ServiceError(
                "InvalidArgument",
                f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive",
                ArgumentName="partNumber",
                ArgumentValue=str(number),
            )
        expected = of_algorithm(expected, upload)
        incoming = await self._writer.receive(bucket, body, expected)
        try:
            part, replaced = await to_the_end(self._keep(bucket, upload, number, incoming))
            faultpoint.reach("part.recorded")
        except BaseException:
            await self._disk.run(incoming.discard)
            raise
        if replaced:
            await self._disk.run(bucket.directory.discard, replaced)
        return part, incoming.checksum

    async def _keep(self, bucket: Bucket, upload: Upload, number: int, incoming: Incoming) -> tuple[Part, str | None]:
        await self._writer.seal(bucket, incoming)
        faultpoint.reach("part.sealed")
        await self._disk.run(bucket.directory.keep_temporaries)
        checksum = incoming.checksum.value if incoming.checksum and upload.algorithm else None
        part = Part(number, incoming.name, incoming.size, incoming.md5.hex(), checksum, self._clock.now())
        async with self._locks.key(bucket.name, upload.id):
            return part, await self._index.add(upload, part)

    async def complete(self, bucket: Bucket, key: str, id: str, completion: Completion) -> StoredObject:
        """Join the named parts into the object; the others are thrown away."""
        return await to_the_end(self._complete(bucket, key, id, completion))

    async def _complete(self, bucket: Bucket, key: str, id: str, completion: Completion) -> StoredObject:
        async with self._locks.key(bucket.name, id):
            upload = await self._index.find(bucket.name, key, id)
            if (stored := await self._placed(bucket, upload, await self._index.state(upload))) is not None:
                return stored  # and whoever asked for it before was not told
            chosen = choose(upload, await self._index.parts(upload), completion)
            algorithm = upload.algorithm if upload.checksum_kind == FULL_OBJECT else None
            incoming = Incoming(bucket.directory, self._clock.new_id(), algorithm)
            try:
                await self._disk.run(join, incoming, chosen)
                checksum = incoming.checksum if algorithm else composite_of(upload, chosen)
                check_whole(completion, incoming.size, checksum)
            except BaseException:
                await self._disk.run(incoming.discard)
                raise
            faultpoint.reach("upload.joined")
            draft = Draft(
                key,
                FileState(0, 0, 0),
                joined_etag(chosen),
                upload.attributes,
                checksum,
                parts_of(chosen),
                "CompleteMultipartUpload",
                completion.author,
                upload=upload.id,
            )

            async def placed(stored: StoredObject) -> None:
                faultpoint.reach("upload.placed")
                await self._end(bucket, upload, stored)

            return await self._writer.commit(bucket, draft, incoming, completion.conditions, placed)

    async def _placed(self, bucket: Bucket, upload: Upload, state: FileState | None) -> StoredObject | None:
        """The object that an upload has become where its completion was interrupted behind that; the upload is ended then."""
        stored = await self._reader.find(bucket, upload.key) if state else None
        if stored is None or FileState(stored.version.size, stored.version.mtime_ns, stored.version.inode) != state:
            return None
        await self._end(bucket, upload, stored)
        return stored

    async def _end(self, bucket: Bucket, upload: Upload, stored: StoredObject) -> None:
        await self._forget(bucket, upload, Completed(stored.version.etag, stored.checksum, stored.version.version_id))

    async def recover(self, bucket: Bucket) -> None:
        """End the uploads that a kill left between their object and their end. To be called before anything else, once the bucket's versions are what
        they should be."""
        for upload, state in await self._index.completing(bucket.name):
            await self._placed(bucket, upload, state)

    async def abort(self, bucket: Bucket, key: str, id: str) -> None:
        async with self._locks.key(bucket.name, id):
            await self._forget(bucket, await self._index.find(bucket.name, key, id))

    async def begun(self, bucket: Bucket, after: tuple[str, str], limit: int) -> list[Upload]:
        """Some uploads under way, by key and id, behind these."""
        return await self._index.begun(bucket.name, after, limit)

    async def expire(self, bucket: Bucket, upload: Upload) -> None:
        """Abort an upload whose time has come; one that was completed or aborted meanwhile is no error."""
        try:
            await self.abort(bucket, upload.key, upload.id)
        except ServiceError as error:
            if error.code != "NoSuchUpload":
                raise

    async def completed(self, bucket: Bucket, key: str, id: str) -> Completed | None:
        """What came of an upload that is completed already: whoever did not hear so asks again."""
        return await self._index.completed(bucket.name, key, id)

    async def _forget(self, bucket: Bucket, upload: Upload, completed: Completed | None = None) -> None:
        parts = await self._index.end(upload, completed, self._clock.now())
        faultpoint.reach("upload.ended")
        for part in parts:
            await self._disk.run(bucket.directory.discard, part.file)

    async def parts(self, upload: Upload) -> list[Part]:
        """The parts that arrived, by number."""
        return await self._index.parts(upload)

    async def list(self, bucket: Bucket, prefix: str) -> list[Upload]:
        """The uploads under way to keys that begin with ``prefix``, by key and then by age."""
        return await self._index.uploads(bucket.name, prefix)


def checked_kind(algorithm: str | None, kind: str | None) -> str | None:
    """How an algorithm's checksums combine: CRCs either way, NVMe's only over the whole object, hashes only over the parts'."""
    if algorithm is None:
        if kind is not None:
            raise ServiceError("InvalidRequest", "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
        return None
    new_digest(algorithm)
    kind = kind or (FULL_OBJECT if algorithm == "CRC64NVME" else COMPOSITE)
    if (kind == FULL_OBJECT and algorithm not in CRCS) or (kind == COMPOSITE and algorithm == "CRC64NVME"):
        raise ServiceError("InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.")
    return kind


def of_algorithm(expected: Expected, upload: Upload) -> Expected:
    """A part is summed up by its upload's algorithm, which its own may not contradict."""
    if upload.algorithm is None:
        return expected
    if expected.computed not in (None, upload.algorithm):
        named, own = upload.algorithm.lower(), str(expected.computed).lower()
        raise ServiceError("InvalidRequest", f"Checksum Type mismatch occurred, expected checksum Type: {named}, actual checksum Type: {own}")
    return replace(expected, algorithm=upload.algorithm)


def choose(upload: Upload, arrived: Sequence[Part], completion: Completion) -> list[Part]:
    """The parts that the completing call names, once everything that it says of them is so."""
    named = completion.parts
    if not named:
        raise ServiceError("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
    if any(later.number <= earlier.number for earlier, later in itertools.pairwise(named)):
        raise ServiceError(
            "InvalidPartOrder",
            "The list of parts was not in ascending order. Parts must be ordered by part number.",
            UploadId=upload.id,
        )
    by_number = {part.number: part for part in arrived}
    chosen = [found_part(upload, by_number.get(part.number), part) for part in named]
    for part in chosen[:-1]:
        if part.size < SMALLEST_PART:
            raise ServiceError(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                ProposedSize=str(part.size),
                MinSizeAllowed=str(SMALLEST_PART),
                PartNumber=str(part.number),
                ETag=part.etag,
            )
    return chosen


def found_part(upload: Upload, part: Part | None, named: NamedPart) -> Part:
    if upload.checksum_kind == COMPOSITE and named.checksum is None:
        raise ServiceError(
            "InvalidRequest",
            f"The upload was created using a {str(upload.algorithm).lower()} checksum. The complete request must include the checksum for each part. "
            f"It was missing for part {named.number} in the request.",
        )
    if part is None or part.etag != named.etag.strip('"') or (upload.algorithm and named.checksum and named.checksum.value != part.checksum):
        raise ServiceError(
            "InvalidPart",
            "One or more of the specified parts could not be found.  The part may not have been uploaded, "
            "or the specified entity tag may not match the part's entity tag.",
            UploadId=upload.id,
            PartNumber=str(named.number),
            ETag=named.etag.strip('"'),
        )
    return part


def join(incoming: Incoming, parts: Sequence[Part]) -> None:
    incoming.open()
    for part in parts:
        descriptor = incoming.directory.open_temporary(part.file)
        try:
            incoming.append(descriptor)
        finally:
            os.close(descriptor)


def composite_of(upload: Upload, parts: Sequence[Part]) -> Checksum | None:
    if upload.algorithm is None:
        return None
    return composite(upload.algorithm, [part.checksum or "" for part in parts])


def parts_of(chosen: Sequence[Part]) -> Parts:
    checksums = [part.checksum for part in chosen if part.checksum]
    return Parts(tuple(part.size for part in chosen), "".join(checksums) if len(checksums) == len(chosen) else "")


def joined_etag(parts: Sequence[Part]) -> str:
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def check_whole(completion: Completion, size: int, checksum: Checksum | None) -> None:
    check_size(size, LARGEST_OBJECT)
    if completion.size is not None and completion.size != size:
        raise ServiceError(
            "InvalidRequest", f"The provided 'x-amz-mp-object-size' header value {completion.size} does not match what was computed: {size}"
        )
    stated = completion.checksum
    if stated and checksum and (stated.algorithm, stated.value.partition("-")[0]) != (checksum.algorithm, checksum.value.partition("-")[0]):
        raise ServiceError("BadDigest", f"The {stated.algorithm} you specified did not match the calculated checksum.")
