"""The archives of functions' code and layers, to be loaded with a plain GET from an address that Lambda's API gives.

As on AWS they are objects of S3 behind presigned addresses. Their bucket has a name that no bucket can be given, so that it is never listed or
written to, and S3's own rules say who may load what: an address that expired or was changed is refused by its signature.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any

from eventflow.aws.operation import Call
from eventflow.errors import ServiceError
from eventflow.services.functions.code import Code, CodeStore

BUCKET = "_lambda"
KEY = re.compile(r"snapshots/\d{12}/[a-zA-Z0-9-_]{1,140}-(?P<sha>[0-9a-f]{64})", re.ASCII)
#: AWS: "a presigned URL that you can use to download the deployment package, valid for 10 minutes" (Lambda API reference, GetFunction).
LIFE = 600


class Snapshots:
    def __init__(self, code: CodeStore) -> None:
        self._code = code

    def location(self, call: Call, name: str, code: Code) -> dict[str, str]:
        """``Location``, or nothing where the archive was not kept: code that was unpacked by an earlier release has none."""
        if call.presigner is None or not self._code.archive(code.sha).exists():
            return {}
        return {"Location": call.presigner.address(call.base_url, f"/{BUCKET}/snapshots/{call.account}/{name}-{code.sha}", call.region, LIFE)}

    async def get(self, key: str) -> Mapping[str, Any]:
        """The answer of GetObject. Raises ServiceError where there is no such archive, or no more."""
        found = KEY.fullmatch(key)
        opened = None if found is None else await self._code.open_archive(found["sha"])
        if opened is None:
            raise ServiceError("NoSuchKey", "The specified key does not exist.", 404, Key=key)
        file, size = opened
        return {"Body": self._pieces(file), "ContentLength": size, "ContentType": "application/zip"}

    async def _pieces(self, file: IO[bytes]) -> AsyncIterator[bytes]:
        try:
            while piece := await self._code.read(file):
                yield piece
        finally:
            file.close()
