"""A form with a file (multipart/form-data, RFC 7578) as it arrives: its fields are read, its file is handed on piece by piece."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from email.message import Message

from eventflow.errors import ServiceError

#: AWS: the form fields before the file, their names included, may have so many bytes.
MOST_BEFORE_FILE = 20 * 1024
LONGEST_HEAD = 4096
BOUNDARY = re.compile(r"[\x20-\x7e]{1,70}")


class FormBody:
    """One form. Call ``fields``, then read ``file`` to its end. Raises ServiceError for what is no form, and for one without a file."""

    def __init__(self, pieces: AsyncIterator[bytes], content_type: str) -> None:
        self._pieces = pieces
        boundary = parameter("content-type", content_type, "boundary")
        if boundary is None or not BOUNDARY.fullmatch(boundary):
            raise malformed()
        self._delimiter = b"\r\n--" + boundary.encode()
        self._buffer = b"\r\n"  # so that the first delimiter is like the others
        self.filename = ""

    async def fields(self) -> dict[str, str]:
        """The fields before the file, their names in lower case; a name that comes twice has the last of its values."""
        found: dict[str, str] = {}
        await self._skip_delimiter(LONGEST_HEAD)
        left = MOST_BEFORE_FILE
        while not await self._at_end():
            name, filename = await self._head()
            if name == "file":
                self.filename = re.split(r"[/\\]", filename or "")[-1]
                return found
            value = await self._skip_delimiter(left)
            left -= len(value) + len(name)
            try:
                found[name] = value.decode()
            except UnicodeDecodeError:
                raise malformed() from None
        raise ServiceError("InvalidArgument", "POST requires exactly one file upload per request.", ArgumentName="file", ArgumentValue="0")

    async def file(self) -> AsyncIterator[bytes]:
        """The file's bytes. What comes after it is not looked at."""
        kept = len(self._delimiter) - 1
        while (end := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > kept:
                piece, self._buffer = self._buffer[:-kept], self._buffer[-kept:]
                yield piece
            await self._more()
        if end:
            yield self._buffer[:end]

    async def _more(self) -> None:
        async for piece in self._pieces:
            if piece:
                self._buffer += piece
                return
        raise malformed()

    async def _skip_delimiter(self, most: int) -> bytes:
        """What stands before the next delimiter."""
        while (end := self._buffer.find(self._delimiter)) < 0:
            if len(self._buffer) > most + len(self._delimiter):
                raise too_much()
            await self._more()
        if end > most:
            raise too_much()
        before, self._buffer = self._buffer[:end], self._buffer[end + len(self._delimiter) :]
        return before

    async def _at_end(self) -> bool:
        while len(self._buffer) < 2:
            await self._more()
        return self._buffer.startswith(b"--")

    async def _head(self) -> tuple[str, str | None]:
        """The name of a part, in lower case, and its file's name if it is one."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > LONGEST_HEAD:
                raise malformed()
            await self._more()
        lines, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        for line in lines.decode("utf-8", "replace").split("\r\n"):
            header, _, value = line.partition(":")
            if header.strip().lower() == "content-disposition" and (name := parameter(header, value, "name")):
                return name.lower(), parameter(header, value, "filename")
        raise malformed()


def parameter(header: str, value: str, name: str) -> str | None:
    """A parameter of a header's value, without its quotes."""
    message = Message()
    message[header] = value.replace("\n", " ").replace("\r", " ")
    found = message.get_param(name, header=header)
    return found if isinstance(found, str) else None


def malformed() -> ServiceError:
    return ServiceError("MalformedPOSTRequest", "The body of your POST request is not well-formed multipart/form-data.")


def too_much() -> ServiceError:
    return ServiceError("MaxPostPreDataLengthExceededError", "Your POST request fields preceding the upload file were too large.")
