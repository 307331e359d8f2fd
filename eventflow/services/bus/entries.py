"""The entries of PutEvents: what is refused, and the events that the others become."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from eventflow.clock import iso
from eventflow.errors import ServiceError
from eventflow.services.bus.errors import invalid, unlike
from eventflow.services.bus.names import bus_name

MOST_ENTRIES = 10
#: AWS: what the entries of one request may have together (256 KB until January 2026).
LARGEST_REQUEST = 1024 * 1024
#: What a Time counts, whatever it is.
TIME_BYTES = 14
LONGEST_TRACE = 500
#: Objects and arrays within each other in a Detail.
DEEPEST = 400
ARGUMENTS = ("Source", "DetailType", "Detail")


@dataclass(frozen=True, slots=True)
class PutEvent:
    """An event for a bus. ``event`` is what targets get, ``text`` its JSON, ``time`` its own in Unix seconds, ``trace`` its chain of causes."""

    bus: str
    event: dict[str, Any]
    text: str
    time: float
    trace: str | None

    @property
    def id(self) -> str:
        return str(self.event["id"])


def event_of(
    *, id: str, bus: str, source: str, detail_type: str, detail: Mapping[str, Any], account: str, region: str, time: float,
    resources: Sequence[str] = (), trace: str | None = None
) -> PutEvent:  # fmt: skip
    """An event in EventBridge's envelope; its time has whole seconds."""
    event = {
        "version": "0",
        "id": id,
        "detail-type": detail_type,
        "source": source,
        "account": account,
        "time": iso(time, milliseconds=False),
        "region": region,
        "resources": list(resources),
        "detail": detail,
    }
    return PutEvent(bus, event, as_json(event), float(int(time)), trace)


def as_json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def check_request(entries: Sequence[Mapping[str, Any]]) -> None:
    if not 1 <= len(entries) <= MOST_ENTRIES:
        bound = "greater than or equal to 1" if not entries else f"less than or equal to {MOST_ENTRIES}"
        raise unlike("entries", f"[{len(entries)} entries]", f"have length {bound}")
    for entry in entries:
        if len(entry.get("TraceHeader") or "") > LONGEST_TRACE:
            raise unlike("entries.member.traceHeader", "...", f"have length less than or equal to {LONGEST_TRACE}")
    if sum(map(size_of, entries)) > LARGEST_REQUEST:
        raise invalid("Total size of the entries in the request is over the limit.")


def size_of(entry: Mapping[str, Any]) -> int:
    """As AWS counts ("Calculating PutEvents event entry size")."""
    texts = [entry.get("Source"), entry.get("DetailType"), entry.get("Detail"), *(entry.get("Resources") or ())]
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts if text) + (TIME_BYTES if entry.get("Time") is not None else 0)


def read_entry(entry: Mapping[str, Any], *, id: str, account: str, region: str, now: float, trace: str | None) -> PutEvent:
    """The event of an entry; raises ServiceError with the code and text of a failed entry."""
    for argument in ARGUMENTS:
        if not entry.get(argument):
            raise ServiceError("InvalidArgument", f"Parameter {argument} is not valid. Reason: {argument} is a required argument.")
    if entry["Source"].startswith("aws."):
        raise ServiceError("NotAuthorizedForSourceException", "Not authorized for the source.")
    event = event_of(
        id=id,
        bus=bus_name(account, entry.get("EventBusName")),
        source=entry["Source"],
        detail_type=entry["DetailType"],
        detail=read_detail(entry["Detail"]),
        account=account,
        region=region,
        time=instant(entry.get("Time"), now),
        resources=entry.get("Resources") or (),
        trace=entry.get("TraceHeader") or trace,
    )
    try:
        event.text.encode()
    except UnicodeEncodeError as error:  # half a surrogate pair is no text that could be kept
        raise ServiceError("MalformedDetail", f"Detail is malformed: {error.reason}.") from error
    return event


def read_detail(text: str) -> dict[str, Any]:
    try:
        detail = json.loads(text, parse_constant=refuse_constant, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise ServiceError("MalformedDetail", "Detail is malformed.") from error
    if not isinstance(detail, dict) or is_too_deep(text, detail):
        raise ServiceError("MalformedDetail", "Detail is malformed.")
    return detail


def finite(text: str) -> float:
    """A number that JSON can say again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is beyond all numbers")
    return number


def is_too_deep(text: str, detail: Any) -> bool:
    """Whether there are more levels than those who read the event later can surely go down."""
    if text.count("{") + text.count("[") <= DEEPEST:
        return False
    level = [detail]
    for _depth in range(DEEPEST):
        members = [list(one.values()) if isinstance(one, dict) else one for one in level]
        level = [member for one in members for member in one if isinstance(member, dict | list)]
    return bool(level)


#: AWS: what TestEventPattern wants of an event.
MANDATORY = ("id", "account", "source", "time", "region", "resources", "detail-type")


def read_event(text: str) -> dict[str, Any]:
    """The event of TestEventPattern."""
    try:
        event = json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise invalid(f"Parameter Event is not valid. Reason: it is not JSON: {error}") from error
    if not isinstance(event, dict):
        raise invalid("Parameter Event is not valid. Reason: it is not a JSON object.")
    missing = [member for member in MANDATORY if member not in event]
    if missing:
        raise invalid(f"Parameter Event is not valid. Reason: it has no {', '.join(missing)}.")
    return event


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a value of JSON")


def instant(time: datetime | float | None, now: float) -> float:
    if time is None:
        return now
    try:
        given = time.timestamp() if isinstance(time, datetime) else float(time)
        iso(given, milliseconds=False)
    except (OverflowError, ValueError, OSError) as error:
        raise ServiceError("InvalidArgument", f"Parameter Time is not valid. Reason: {error}.") from error
    return given
