"""What travels with a message's body: attributes validated, measured, kept as JSON, filtered by name, and their MD5 as SQS computes it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.queues.errors import invalid

#: name -> {"DataType": ..., "StringValue": str} or {"DataType": ..., "BinaryValue": bytes}
MessageAttributes = Mapping[str, Mapping[str, Any]]

MOST_ATTRIBUTES = 10
LONGEST_NAME = 256
NAME = re.compile(r"[A-Za-z0-9_\-.]+")
RESERVED = ("aws.", "amazon.")
LISTS = ("StringListValues", "BinaryListValues")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)
MOST_DIGITS, LEAST_EXPONENT, GREATEST_EXPONENT = 38, -128, 126
TRACE = "AWSTraceHeader"
TRACE_SHAPE = re.compile(r"Root=1-[0-9a-fA-F]{8}-[0-9a-fA-F]{24}(;.*)?", re.DOTALL)
#: The characters SQS takes in a body or a text value: those of XML 1.0.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_text(text: str) -> None:
    if FORBIDDEN.search(text):
        raise ServiceError(
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.",
        )


def check(attributes: MessageAttributes) -> None:
    """Refuse what SQS refuses in the attributes of one message."""
    if len(attributes) > MOST_ATTRIBUTES:
        raise invalid(f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [{MOST_ATTRIBUTES}].")
    for name, attribute in attributes.items():
        check_name(name)
        check_value(name, attribute)


def check_name(name: str) -> None:
    if not name or len(name) > LONGEST_NAME:
        raise invalid(f"Message (user) attribute name must be 1 to {LONGEST_NAME} characters long; it has {len(name)}.")
    if not NAME.fullmatch(name):
        raise invalid(f"Message (user) attribute name '{name}' has invalid characters. Use letters, digits, hyphens, underscores and periods.")
    if name.startswith(".") or name.endswith(".") or ".." in name:
        raise invalid(f"Message (user) attribute name '{name}' must not start or end with a period, nor have periods in succession.")
    if name.lower().startswith(RESERVED):
        raise invalid(f"Message (user) attribute name '{name}' is reserved: it must not start with AWS. or Amazon.")


def check_value(name: str, attribute: Mapping[str, Any]) -> None:
    if any(attribute.get(member) for member in LISTS):
        raise ServiceError("UnsupportedOperation", f"Message attribute list values in SendMessage operation are not supported (attribute '{name}').")
    kind = str(attribute.get("DataType", "")).partition(".")[0]
    if kind not in ("String", "Number", "Binary"):
        supported = "You must use only the following supported type prefixes: Binary, Number, String."
        raise invalid(f"The type of message (user) attribute '{name}' is invalid. {supported}")
    if len(str(attribute["DataType"])) > LONGEST_NAME:
        raise invalid(f"The type of message (user) attribute '{name}' is longer than {LONGEST_NAME} characters.")
    value = attribute.get(member_of(attribute))
    if not value:
        raise invalid(f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'.")
    if kind != "Binary":
        check_text(str(value))
    if kind == "Number" and not is_number(str(value)):
        raise invalid(f"Can't cast the value of message (user) attribute '{name}' to a number.")


def is_number(text: str) -> bool:
    """SQS's numbers: up to 38 digits, between 10^-128 and 10^126 (AWS: "Amazon SQS message metadata", data types)."""
    if not NUMBER.fullmatch(text):
        return False
    number = Decimal(text)
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    return not digits or (len(digits) <= MOST_DIGITS and LEAST_EXPONENT <= number.adjusted() <= GREATEST_EXPONENT)


def member_of(attribute: Mapping[str, Any]) -> str:
    return "BinaryValue" if str(attribute["DataType"]).startswith("Binary") else "StringValue"


def value_bytes(attribute: Mapping[str, Any]) -> bytes:
    value = attribute.get(member_of(attribute)) or b""
    return bytes(value) if isinstance(value, bytes | bytearray) else str(value).encode()


def size(attributes: MessageAttributes) -> int:
    """The bytes that names, types and values count towards the message's size."""
    return sum(len(name.encode()) + len(attribute["DataType"].encode()) + len(value_bytes(attribute)) for name, attribute in attributes.items())


def md5(attributes: MessageAttributes) -> str:
    """SQS's digest: by name, each of name, type and value after its length, a 1 before text and a 2 before bytes.

    AWS: "Calculating the MD5 message digest for message attributes" in the SQS developer guide.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        for part in (name.encode(), attribute["DataType"].encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        digest.update(b"\x02" if member_of(attribute) == "BinaryValue" else b"\x01")
        value = value_bytes(attribute)
        digest.update(struct.pack(">I", len(value)) + value)
    return digest.hexdigest()


def body_md5(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def selected(attributes: MessageAttributes, names: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Those asked for: ``All`` or ``.*`` is every one, ``foo.*`` (or ``foo*``) those that begin with ``foo``, anything else itself."""
    wanted = list(names)
    if "All" in wanted or ".*" in wanted:
        return dict(attributes)
    prefixes = tuple(name.removesuffix("*").removesuffix(".") for name in wanted if name.endswith("*"))
    return {name: attribute for name, attribute in attributes.items() if name in wanted or (prefixes and name.startswith(prefixes))}


def to_json(attributes: MessageAttributes) -> str | None:
    if not attributes:
        return None
    kept = {
        name: [
            attribute["DataType"],
            base64.b64encode(value_bytes(attribute)).decode() if member_of(attribute) == "BinaryValue" else attribute["StringValue"],
        ]
        for name, attribute in attributes.items()
    }
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def from_json(text: str | None) -> dict[str, Mapping[str, Any]]:
    if text is None:
        return {}
    return {
        name: {"DataType": kind, "BinaryValue": base64.b64decode(value)} if kind.startswith("Binary") else {"DataType": kind, "StringValue": value}
        for name, (kind, value) in json.loads(text).items()
    }


def trace_of(system: MessageAttributes) -> str | None:
    """The trace header among a message's system attributes, the only one that SQS takes."""
    for name, attribute in system.items():
        if name != TRACE:
            raise invalid(f"Message system attribute name '{name}' is invalid; the only one is {TRACE}.")
        if attribute.get("DataType") != "String" or not TRACE_SHAPE.fullmatch(str(attribute.get("StringValue", ""))):
            raise invalid(
                f"Message system attribute '{TRACE}' must be a String with an X-Ray trace header: Root=1-<8 hex>-<24 hex>;Parent=...;Sampled=0|1."
            )
    return str(system[TRACE]["StringValue"]) if TRACE in system else None
