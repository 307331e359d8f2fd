"""The policy of a form: until when it may be sent, and what its fields and its file must be ("Creating a POST Policy", S3 API reference)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eventflow.errors import ServiceError

#: Fields that no condition has to be about.
FREE = frozenset(("x-amz-signature", "signature", "awsaccesskeyid", "policy", "file"))
FREE_PREFIX = "x-ignore-"
RANGE = "content-length-range"


@dataclass(frozen=True, slots=True)
class Condition:
    """``operator`` is ``eq``, ``starts-with`` or ``content-length-range``; ``field`` in lower case and without its ``$``."""

    operator: str
    field: str
    value: Any
    written: Any

    def holds(self, fields: Mapping[str, str]) -> bool:
        found = fields.get(self.field)
        if self.operator == "eq":
            return bool(found == self.value)
        # A list of content types must begin so in each of its entries.
        entries = found.split(",") if found is not None and self.field == "content-type" else [found or ""]
        return all(entry.strip().startswith(self.value) if len(entries) > 1 else entry.startswith(self.value) for entry in entries)


@dataclass(frozen=True, slots=True)
class Policy:
    """``expires`` in Unix seconds."""

    expires: float
    conditions: Sequence[Condition]

    @property
    def sizes(self) -> tuple[int, int] | None:
        """The least and the most bytes that the file may have, all ranges taken together."""
        ranges = [condition.value for condition in self.conditions if condition.operator == RANGE]
        return (max(least for least, _ in ranges), min(most for _, most in ranges)) if ranges else None

    def check(self, fields: Mapping[str, str], now: float) -> None:
        """Raise unless these fields (``bucket`` among them, names in lower case) may be sent now."""
        if now > self.expires:
            raise denied("Policy expired.")
        for condition in self.conditions:
            if condition.operator != RANGE and not condition.holds(fields):
                raise denied(f"Policy Condition failed: {json.dumps(condition.written)}")
        named = {condition.field for condition in self.conditions}
        extra = sorted(name for name in fields if name not in named | FREE and not name.startswith(FREE_PREFIX))
        if extra:
            raise denied(f"Extra input fields: {', '.join(extra)}")


def read_policy(text: str) -> Policy:
    """The policy in a form's field. Raises ``InvalidPolicyDocument``."""
    try:
        document = json.loads(base64.b64decode("".join(text.split()), validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise invalid("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise invalid("Invalid JSON.")
    strange = sorted(document.keys() - {"expiration", "conditions"})
    if strange:
        raise invalid(f"Unexpected: '{strange[0]}'.")
    if not isinstance(document.get("expiration"), str):
        raise invalid("Policy missing expiration.")
    if not isinstance(document.get("conditions"), list):
        raise invalid("Policy missing conditions.")
    return Policy(read_expiration(document["expiration"]), [condition for entry in document["conditions"] for condition in read_conditions(entry)])


def read_expiration(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(f"Invalid 'expiration' value: '{text}'") from None
    if "T" not in text or not text.endswith("Z"):
        raise invalid(f"Invalid 'expiration' value: '{text}'")
    return moment.astimezone(UTC).timestamp()


def read_conditions(entry: Any) -> list[Condition]:
    """One entry of the list: an object is an equality, a list an operator with its operands."""
    match entry:
        case dict() if len(entry) == 1 and all(isinstance(value, str) for value in entry.values()):
            return [Condition("eq", name.lower(), unescaped(value), ["eq", f"${name}", value]) for name, value in entry.items()]
        case [str(operator), least, most] if operator.lower() == RANGE:
            return [Condition(RANGE, RANGE, (size_of(least), size_of(most)), entry)]
        case [str(operator), str(field), str(value)] if operator.lower() in ("eq", "starts-with") and field.startswith("$"):
            return [Condition(operator.lower(), field[1:].lower(), unescaped(value), entry)]
        case dict():
            raise invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
    raise invalid("Invalid Condition: it is neither {name: value} nor [eq or starts-with, $name, value] nor [content-length-range, least, most].")


def size_of(value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise invalid(f"Invalid {RANGE}: {value!r} is no number of bytes.")
    return int(text)


def unescaped(value: str) -> str:
    """A dollar sign that is meant as one is written after a backslash."""
    return value.replace("\\$", "$")


def denied(message: str) -> ServiceError:
    return ServiceError("AccessDenied", f"Invalid according to Policy: {message}", 403)


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidPolicyDocument", f"Invalid Policy: {message}")
