"""Where a key's file lies in its bucket's directory: under its own name where a directory can hold it, else under an encoded one."""

from __future__ import annotations

import base64
import binascii
import re

from eventflow.errors import ServiceError

#: Names that begin so, at the top of a bucket, are the store's own.
RESERVED = ".eventflow-"
#: Where a bucket keeps its unfinished writes: inside its own directory, so that finishing one is a rename in one file system.
TEMPORARY = f"{RESERVED}tmp"
#: Where it keeps the objects whose keys no directory can hold as they are.
ENCODED = f"{RESERVED}keys"
LONGEST_KEY = 1024
LONGEST_SEGMENT = 255
#: What most keys are like, of which there is nothing more to ask.
PLAIN = re.compile(r"\w[\w.-]{,200}(?:/\w[\w.-]{,200})*", re.ASCII)
#: So many bytes of a key are one encoded name, of 128 characters: every file system takes names of that length.
PIECE = 80
#: Ends the name of an encoded directory, so that it is never that of a file.
DIRECTORY_MARK = "-"


def segments(key: str) -> tuple[str, ...] | None:
    """The path of a key below its bucket under its own name, or None for a key that no directory can hold so. A folder's key ends in ``/``."""
    return None if reason_against(key) else tuple(key.removesuffix("/").split("/"))


def is_folder(key: str) -> bool:
    return key.endswith("/")


def check_writable(key: str) -> None:
    """Raise for what is no key of an object at all."""
    size = len(key.encode(errors="replace"))
    if size > LONGEST_KEY:
        raise ServiceError("KeyTooLongError", "Your key is too long", Size=str(size), MaxSizeAllowed=str(LONGEST_KEY))
    if not is_key(key):
        raise ServiceError(
            "InvalidArgument", "A key is 1 to 1024 bytes of UTF-8; this one is empty or no UTF-8.", ArgumentName="key", ArgumentValue=repr(key)
        )


def is_key(key: str) -> bool:
    try:
        return 0 < len(key.encode()) <= LONGEST_KEY
    except UnicodeEncodeError:
        return False


def encoded_segments(key: str) -> tuple[str, ...]:
    """The path of a key under its encoded name: Base32 with the extended hex alphabet (RFC 4648), in lower case and in pieces.

    No two keys share a path, on file systems that do not tell cases apart either; the names sort as the keys do; and the key can be read from it.
    """
    octets = key.encode()
    pieces = [encoded_piece(octets[start : start + PIECE]) for start in range(0, len(octets), PIECE)]
    return (ENCODED, *(f"{piece}{DIRECTORY_MARK}" for piece in pieces[:-1]), pieces[-1])


def encoded_piece(octets: bytes) -> str:
    return base64.b32hexencode(octets).decode().rstrip("=").lower()


def decoded_piece(name: str) -> bytes | None:
    """The bytes of a key in an encoded name, a directory's or a file's; None for a name that was not made here."""
    text = name.removesuffix(DIRECTORY_MARK)
    try:
        octets = base64.b32hexdecode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        return None
    return octets if encoded_piece(octets) == text else None


def key_at(path: str) -> str | None:
    """The key of the file at a path below its bucket; of a directory of encoded names, what the keys in it begin with. None for a path below
    ``ENCODED`` that was not made here."""
    first, _slash, rest = path.partition("/")
    if first != ENCODED:
        return path
    pieces = [decoded_piece(name) for name in rest.split("/")] if rest else []
    octets = b"".join(piece for piece in pieces if piece is not None)
    if None in pieces:
        return None
    if not rest or rest.endswith(DIRECTORY_MARK):
        return octets.decode(errors="ignore")  # a piece may end within a character
    try:
        key = octets.decode()
    except UnicodeDecodeError:
        return None
    return key if is_key(key) and "/".join(encoded_segments(key)) == path else None


def reason_against(key: str) -> str | None:
    """Why a directory cannot hold this key under its own name, or None if it can."""
    if len(key) <= LONGEST_KEY and PLAIN.fullmatch(key):
        return None
    if not is_key(key):
        return f"it is not 1 to {LONGEST_KEY} bytes of UTF-8"
    if "\0" in key:
        return "it holds a NUL character"
    parts = key.removesuffix("/").split("/")
    # Compared without case: some file systems take both spellings for one name.
    if parts[0].casefold().startswith(RESERVED):
        return f"what begins with {RESERVED} is the store's own"
    return next(filter(None, map(reason_against_segment, parts)), None)


def reason_against_segment(segment: str) -> str | None:
    if segment == "":
        return "it has an empty name between two slashes, or before the first"
    if segment in (".", ".."):
        return f"the name {segment!r} means a directory"
    if len(segment.encode()) > LONGEST_SEGMENT:
        return f"a name between slashes is longer than {LONGEST_SEGMENT} bytes"
    return None
