"""Where uploaded code comes from: the request itself, or an object in one of our own buckets."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any

from eventflow.errors import ServiceError
from eventflow.services.functions.archive import LARGEST_UNZIPPED, TOO_LARGE
from eventflow.services.functions.ledger import World
from eventflow.services.functions.names import wrong

#: AWS: 50 MB in a request; what it says of a larger one counts the request with its base64 (Lambda quotas).
LARGEST_DIRECT = 52_428_800
LARGEST_REQUEST = 70_167_211
LONGEST_IN_MEMORY = 1 << 20
REFUSED = ("ImageUri", "SourceKMSKeyArn")
STORAGE_MODE = "COPY"


@contextlib.asynccontextmanager
async def archive_of(code: Mapping[str, Any], world: World, operation: str) -> AsyncIterator[IO[bytes]]:
    """The archive that ``ZipFile``, or ``S3Bucket`` and ``S3Key``, say. Raises ServiceError."""
    refuse(code)
    direct = code.get("ZipFile")
    if direct is not None:
        if code.get("S3Bucket") or code.get("S3Key"):
            raise wrong("Please do not provide other FunctionCode parameters when providing a ZipFile.")
        if len(direct) > LARGEST_DIRECT:
            text = f"Request must be smaller than {LARGEST_REQUEST} bytes for the {operation} operation"
            raise ServiceError("RequestEntityTooLargeException", text, 413, Type="User")
        yield io.BytesIO(direct)
        return
    if not code.get("S3Bucket") or not code.get("S3Key"):
        raise wrong("Please provide a source for function code.")
    with tempfile.SpooledTemporaryFile(LONGEST_IN_MEMORY) as file:
        await fetch(world, code, file)
        yield file


def refuse(code: Mapping[str, Any]) -> None:
    for name in REFUSED:
        if code.get(name):
            hint = " There are no containers here: pack the code as a zip archive." if name == "ImageUri" else ""
            raise wrong(f"eventflow does not support {name} yet; leave it out.{hint}")
    if code.get("S3ObjectStorageMode") not in (None, STORAGE_MODE):
        raise wrong(f"eventflow does not support S3ObjectStorageMode={code['S3ObjectStorageMode']}: code is always copied.")


async def fetch(world: World, code: Mapping[str, Any], file: IO[bytes]) -> None:
    size = 0
    try:
        async for piece in await world.content(code["S3Bucket"], code["S3Key"], code.get("S3ObjectVersion")):
            size += len(piece)
            if size > LARGEST_UNZIPPED:
                raise wrong(TOO_LARGE)
            file.write(piece)
    except ServiceError as error:
        if error.code == "InvalidParameterValueException":
            raise
        raise wrong(f"Error occurred while GetObject. S3 Error Code: {error.code}. S3 Error Message: {error.message}") from error
