"""Single values between Python and text: numbers, booleans, timestamps and blobs as AWS writes them in headers, addresses, XML and forms."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import cache, lru_cache
from typing import Any

from botocore.model import Shape

from eventflow.aws.protocols.refusal import Unreadable

ReadText = Callable[[str], Any]
WriteText = Callable[[Any], str]

INTEGER_BITS = {"integer": 31, "long": 63, "short": 15, "byte": 7, "bigInteger": 4096}
#: Texts of timestamps that are remembered, of one form each: what a listing shows often has the same.
TIMESTAMPS_KEPT = 4096
#: Floats that JSON and XML have no literal for; AWS writes them as these words.
SPECIAL_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def text_reader(shape: Shape, timestamp_format: str) -> ReadText:
    """A function from a scalar's text to its value; it raises Unreadable."""
    kind = shape.type_name
    if kind == "timestamp":
        return timestamp_reader(shape.serialization.get("timestampFormat", timestamp_format))
    if kind in INTEGER_BITS:
        return integer_reader(INTEGER_BITS[kind])
    return TEXT_READERS.get(kind, str)


def text_writer(shape: Shape, timestamp_format: str) -> WriteText:
    """A function from a scalar's value to its text."""
    kind = shape.type_name
    if kind == "timestamp":
        return timestamp_writer(shape.serialization.get("timestampFormat", timestamp_format))
    return TEXT_WRITERS.get(kind, str)


def integer_reader(bits: int) -> ReadText:
    def read(text: str) -> int:
        try:
            value = int(text) if text.isascii() else None
        except ValueError:
            value = None
        if value is None or not -(1 << bits) <= value < 1 << bits:
            raise Unreadable(f"{shortened(text)} is not an integer in range.")
        return value

    return read


def read_boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("true", "false"):
        raise Unreadable(f"{shortened(text)} is not a boolean: use true or false.")
    return lowered == "true"


def read_float(text: str) -> float:
    if text in SPECIAL_FLOATS:
        return SPECIAL_FLOATS[text]
    try:
        return float(text)
    except ValueError as error:
        raise Unreadable(f"{shortened(text)} is not a number.") from error


def read_blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"{shortened(text)} is not Base64.") from error


def timestamp_reader(form: str) -> ReadText:
    parse = TIMESTAMP_PARSERS[form.lower()]

    def read(text: str) -> datetime:
        try:
            return in_utc(parse(text))
        except (ValueError, TypeError, OverflowError, OSError) as error:
            raise Unreadable(f"{shortened(text)} is not a timestamp of the form {form}.") from error

    return read


def timestamp_writer(form: str) -> WriteText:
    return remembering_writer(form.lower())


@cache
def remembering_writer(form: str) -> WriteText:
    """One for all shapes of a form: what is remembered does not grow with their number."""
    write = TIMESTAMP_WRITERS[form]
    return lru_cache(TIMESTAMPS_KEPT)(lambda value: write(moment_of(value)))


def moment_of(value: datetime | float) -> datetime:
    """A timestamp as operations give it, which is a datetime (UTC if naive) or Unix seconds, as a datetime."""
    return in_utc(value) if isinstance(value, datetime) else from_unix(value)


def from_unix(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def to_unix(moment: datetime) -> float:
    seconds = in_utc(moment).timestamp()
    return int(seconds) if seconds.is_integer() else round(seconds, 6)


def in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def write_iso8601(moment: datetime) -> str:
    precision = "milliseconds" if moment.microsecond % 1000 == 0 else "microseconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def write_float(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value)


def write_blob(value: bytes | str) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode("ascii")


def write_boolean(value: object) -> str:
    return "true" if value else "false"


def shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


TEXT_READERS: dict[str, ReadText] = {"boolean": read_boolean, "float": read_float, "double": read_float, "blob": read_blob}
TEXT_WRITERS: dict[str, WriteText] = {"boolean": write_boolean, "float": write_float, "double": write_float, "blob": write_blob}
TIMESTAMP_PARSERS: dict[str, Callable[[str], datetime]] = {
    "iso8601": datetime.fromisoformat,
    "rfc822": parsedate_to_datetime,
    "unixtimestamp": lambda text: from_unix(float(text)),
}
TIMESTAMP_WRITERS: dict[str, Callable[[datetime], str]] = {
    "iso8601": write_iso8601,
    "rfc822": lambda moment: format_datetime(moment, usegmt=True),
    "unixtimestamp": lambda moment: str(to_unix(moment)),
}
