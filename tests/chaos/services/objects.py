"""S3 under kills: puts, copies, deletes, batch deletes and multipart uploads, and what must be in the bucket after them."""

import hashlib
import random
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from tests.chaos.services.register import Registers, Unanswered, Value, asked

#: Sizes from nothing to more than what is kept in memory on its way.
SIZES = (0, 1, 700, 10_000, 70_000, 300_000)
SMALLEST_PART = 5 * 1024 * 1024
KEYS = 14


class ObjectWriter:
    """Writes keys of its own below ``prefix``; a value is the MD5 and the length of the bytes, and the metadata ``write``."""

    kind = "S3"

    def __init__(self, s3: Any, bucket: str, prefix: str, seed: str) -> None:
        self._s3, self._bucket, self._prefix = s3, bucket, prefix
        self._chance = random.Random(seed)
        self._writes = 0
        self.registers = Registers(self, self._chance)

    def read(self, name: str) -> Value:
        try:
            answer = asked(self._s3.get_object, Bucket=self._bucket, Key=name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        try:
            content = answer["Body"].read()
        except Exception as error:  # urllib3's own errors, when the daemon is killed under a body
            raise Unanswered from error
        value = self._value(content, answer["Metadata"].get("write"))
        etag = answer["ETag"].strip('"')
        if "-" not in etag and etag != value[0]:
            self.registers.wrongs.append(f"{name} has the ETag {etag} and bytes of the MD5 {value[0]}")
        return value

    def _value(self, content: bytes, write: str | None) -> Value:
        return hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content), write

    def step(self) -> None:
        steps = (self._put, self._put, self._put, self._copy, self._delete, self._delete_several, self._upload, self._replace_if_it_is_there)
        self._chance.choice(steps)()

    def _key(self) -> str:
        number = self._chance.randrange(KEYS)
        return f"{self._prefix}/{number}" if number % 2 else f"{self._prefix}/deep/er/{number}"

    def _content(self, size: int | None = None) -> tuple[bytes, str]:
        self._writes += 1
        write = f"{self._prefix}-{self._writes}"
        size = self._chance.choice(SIZES) if size is None else size
        return (write.encode() * (size // len(write) + 1))[:size], write

    def _put(self, key: str | None = None, **conditions: str) -> None:
        key, (content, write) = key or self._key(), self._content()
        put = partial(self._put_whole, Key=key, Body=content, Metadata={"write": write}, **conditions)
        self.registers.write({key: self._value(content, write)}, put)

    def _put_whole(self, **params: Any) -> None:
        """An answer that was cut off behind its head, by a kill, acknowledges nothing; boto3 takes it for an empty one."""
        if "ETag" not in self._s3.put_object(Bucket=self._bucket, **params):
            raise Unanswered

    def _replace_if_it_is_there(self) -> None:
        present = self.registers.present()
        if present:
            key = self._chance.choice(present)
            etag = self._etag(key)
            self._put(key=key, IfMatch=etag)

    def _etag(self, key: str) -> str:
        return str(asked(self._s3.head_object, Bucket=self._bucket, Key=key)["ETag"])

    def _copy(self) -> None:
        present = self.registers.present()
        target = self._key()
        if present and (source := self._chance.choice(present)) != target:
            self.registers.write({target: self.registers.known[source]}, self._copy_whole, Key=target, CopySource=f"{self._bucket}/{source}")

    def _copy_whole(self, **params: Any) -> None:
        if "ETag" not in self._s3.copy_object(Bucket=self._bucket, **params).get("CopyObjectResult", {}):
            raise Unanswered

    def _delete(self) -> None:
        key = self._key()
        self.registers.write({key: None}, self._s3.delete_object, Bucket=self._bucket, Key=key)

    def _delete_several(self) -> None:
        keys = sorted({self._key() for _ in range(4)})
        self.registers.write(dict.fromkeys(keys), self._delete_all, keys=keys)

    def _delete_all(self, keys: list[str]) -> None:
        answer = self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in keys]})
        if len(answer.get("Deleted", ())) != len(keys):
            raise Unanswered

    def _upload(self) -> None:
        key = self._key()
        place = {"Bucket": self._bucket, "Key": key}
        contents, write = [], ""
        for size in (SMALLEST_PART, 5_000) if self._chance.random() < 0.15 else (self._chance.choice(SIZES[1:]),):
            content, write = self._content(size)
            contents.append(content)
        place["UploadId"] = asked(self._s3.create_multipart_upload, **place, Metadata={"write": write}).get("UploadId", "")
        if not place["UploadId"]:
            raise Unanswered
        parts = []
        for number, content in enumerate(contents, 1):
            if self._chance.random() < 0.2:  # a part that is replaced
                asked(self._s3.upload_part, **place, PartNumber=number, Body=b"former")
            answer = asked(self._s3.upload_part, **place, PartNumber=number, Body=content)
            if "ETag" not in answer:
                raise Unanswered
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        if self._chance.random() < 0.25:
            asked(self._s3.abort_multipart_upload, **place)
            return
        self.registers.write({key: self._value(b"".join(contents), write)}, self._complete, place=place, parts=parts)

    def _complete(self, place: dict[str, str], parts: list[dict[str, Any]]) -> None:
        if "ETag" not in self._s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts}):
            raise Unanswered

    def finish(self) -> None:
        """Every key as it must be, and no other below the prefix."""
        self.registers.check_all()
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/")
        listed = sorted(found["Key"] for page in pages for found in page.get("Contents", ()))
        if listed != self.registers.present():
            self.registers.wrongs.append(f"below {self._prefix}/ there must be {self.registers.present()}, listed are {listed}")


def stray_files(s3: Any, bucket: str, directory: Path) -> list[str]:
    """What lies in a bucket's directory and is neither an object nor a part of an upload, once uploads that nobody finished were aborted."""
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    listed = {found["Key"] for page in pages for found in page.get("Contents", ())}
    files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    return sorted(files - listed - {".eventflow-tmp/clock"})
