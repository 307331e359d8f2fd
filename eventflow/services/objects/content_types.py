"""The content type of a file that was put by hand, guessed from its name."""

from __future__ import annotations

import mimetypes

from eventflow.services.objects.stored import UNKNOWN_CONTENT

COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz", "compress": "application/x-compress"}


class ContentTypes:
    """Guesses from Python's own table, not from the machine's files: a name means the same everywhere."""

    def __init__(self) -> None:
        self._types = mimetypes.MimeTypes()

    def guess(self, key: str) -> str:
        """A type for a file by hand. (S3 itself does not guess: what a call puts without a type is ``binary/octet-stream``.)"""
        name = key.rpartition("/")[2]
        content_type, encoding = self._types.guess_type(name.replace(":", "_"), strict=False)
        if encoding:
            return COMPRESSED.get(encoding, UNKNOWN_CONTENT)
        return content_type or UNKNOWN_CONTENT
