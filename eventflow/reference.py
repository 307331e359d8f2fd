"""References to buckets, tables and queues: what an application declares, checked against AWS's naming rules and ranges."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from eventflow.errors import SettingError
from eventflow.trigger import Resource

BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
BUCKET_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
BUCKET_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}")
QUEUE_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
FIFO = ".fifo"
LONGEST_QUEUE_NAME = 80
BUS_NAME = re.compile(r"[.\-_A-Za-z0-9]{1,256}")
API_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
AUTHORIZER_NAME = re.compile(r"(?!(iam|none)\Z)[A-Za-z0-9_-]{1,128}")
KEY_TYPES = ("S", "N", "B")
STREAM_VIEWS = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")
LONGEST_PARTITION_KEY = 255

#: A queue's numeric attributes: SQS's name, least, most, unit (SQS API reference, "SetQueueAttributes").
QUEUE_NUMBERS = {
    "visibility_timeout": ("VisibilityTimeout", 0, 43_200, "seconds"),
    "delay_seconds": ("DelaySeconds", 0, 900, "seconds"),
    "message_retention_period": ("MessageRetentionPeriod", 60, 1_209_600, "seconds"),
    "maximum_message_size": ("MaximumMessageSize", 1_024, 1_048_576, "bytes"),
    "receive_message_wait_time_seconds": ("ReceiveMessageWaitTimeSeconds", 0, 20, "seconds"),
}
QUEUE_ATTRIBUTES = (*QUEUE_NUMBERS, "content_based_deduplication", "dead_letter_queue", "max_receive_count")
MOST_RECEIVES = 1_000


@dataclass(frozen=True)
class BucketRef:
    """A bucket of the application. ``path`` is its directory, from the application's folder; None is one that the daemon chooses."""

    kind: ClassVar[str] = "bucket"
    name: str
    path: str | None = None

    def __str__(self) -> str:
        return self.name

    def resource(self, root: Path) -> Resource:
        """The resource, with its directory made absolute from the application's folder ``root``."""
        return Resource(self.kind, self.name, {} if self.path is None else {"path": str(root / Path(self.path).expanduser())})


@dataclass(frozen=True)
class TableRef:
    """A table of the application. Types are DynamoDB's: ``S``, ``N`` or ``B``; ``stream`` is the StreamViewType of its stream, None for none."""

    kind: ClassVar[str] = "table"
    name: str
    key: str
    key_type: str = "S"
    sort: str | None = None
    sort_type: str = "S"
    stream: str | None = None

    def __str__(self) -> str:
        return self.name

    def resource(self, root: Path) -> Resource:
        options = {"key": self.key, "key_type": self.key_type, "sort": self.sort, "sort_type": self.sort_type}
        return Resource(self.kind, self.name, options if self.stream is None else {**options, "stream": self.stream})


@dataclass(frozen=True)
class QueueRef:
    """A queue of the application. ``attributes`` are SQS's, as ``CreateQueue`` takes them (names in CamelCase, values as text)."""

    kind: ClassVar[str] = "queue"
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)
    dead_letter_queue: str | None = None
    max_receive_count: int | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def fifo(self) -> bool:
        return self.name.endswith(FIFO)

    def resource(self, root: Path) -> Resource:
        """The resource: ``Attributes`` as for ``CreateQueue``; the redrive policy stands apart, since only the daemon can make its ARN."""
        options: dict[str, Any] = {"Attributes": dict(self.attributes)} if self.attributes else {}
        if self.dead_letter_queue is not None:
            options["dead_letter_queue"] = self.dead_letter_queue
            options["max_receive_count"] = self.max_receive_count
        return Resource(self.kind, self.name, options)


@dataclass(frozen=True)
class BusRef:
    """An event bus of the application."""

    kind: ClassVar[str] = "bus"
    name: str

    def __str__(self) -> str:
        return self.name

    def resource(self, root: Path) -> Resource:
        return Resource(self.kind, self.name)


@dataclass(frozen=True)
class ApiRef:
    """An API of the application; ``protocol`` is ``HTTP``, ``REST`` or ``WEBSOCKET``, ``options`` what was said of it, as plain JSON values."""

    kind: ClassVar[str] = "api"
    protocol: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.name

    def resource(self, root: Path) -> Resource:
        """The resource; a file that describes the API is made absolute from the application's folder ``root``."""
        options = dict(self.options)
        if isinstance(options.get("openapi"), str):
            options["openapi"] = str(root / Path(options["openapi"]).expanduser())
        return Resource(self.kind, f"{self.protocol}/{self.name}", options)


@dataclass(frozen=True)
class OptionsRef:
    """A part of the application of which is kept what was said: ``options`` are plain JSON values."""

    kind: ClassVar[str]
    #: The option that may name a file: it is made absolute from the application's folder, an address is left as it is.
    file: ClassVar[str] = ""
    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.name

    def resource(self, root: Path) -> Resource:
        options, file = dict(self.options), self.options.get(self.file)
        if isinstance(file, str) and "://" not in file:
            options[self.file] = str(root / Path(file).expanduser())
        return Resource(self.kind, self.name, options)


@dataclass(frozen=True)
class ApiKeyRef(OptionsRef):
    """An API key of the application. ``options`` say where its value comes from, or hold it: they are never shown."""

    kind: ClassVar[str] = "api_key"
    file: ClassVar[str] = "file"
    options: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True)
class UsagePlanRef(OptionsRef):
    """A usage plan of the application."""

    kind: ClassVar[str] = "usage_plan"


@dataclass(frozen=True)
class RouteRef(OptionsRef):
    """A route of an API that leads to no function: ``name`` is protocol, API and key, ``options`` hold the ``integration``."""

    kind: ClassVar[str] = "route"


@dataclass(frozen=True)
class AuthorizerRef(OptionsRef):
    """An authorizer of the application, for routes and APIs; ``type`` (``jwt`` or ``lambda``) is among the ``options``."""

    kind: ClassVar[str] = "authorizer"
    file: ClassVar[str] = "jwks"


Reference = BucketRef | TableRef | QueueRef | BusRef | ApiRef | ApiKeyRef | UsagePlanRef | RouteRef | AuthorizerRef


def bucket_ref(name: str, path: str | Path | None = None) -> BucketRef:
    check_bucket_name(name)
    if path is not None and not isinstance(path, (str, Path)):
        raise SettingError(f"Bucket {name!r}: path={path!r} is refused: it takes the path of a directory.")
    return BucketRef(name, None if path is None else str(path))


def table_ref(name: str, key: str, key_type: str = "S", sort: str | None = None, sort_type: str = "S", stream: str | None = None) -> TableRef:
    require(name, TABLE_NAME, "table", "3 to 255 of A-Z, a-z, 0-9, '_', '-' and '.'")
    check_key(name, "key", key, key_type)
    if sort is not None:
        check_key(name, "sort", sort, sort_type)
        if sort == key:
            raise SettingError(f"Table {name!r}: key and sort are both {key!r}; the sort key must be another attribute.")
    if stream is not None and stream not in STREAM_VIEWS:
        raise SettingError(f"Table {name!r}: stream={stream!r} is refused: it takes {', '.join(STREAM_VIEWS)}.")
    return TableRef(name, key, key_type, sort, sort_type, stream)


def queue_ref(name: str, **attributes: Any) -> QueueRef:
    check_queue_name(name)
    unknown = [attribute for attribute in attributes if attribute not in QUEUE_ATTRIBUTES]
    if unknown:
        raise SettingError(f"Queue {name!r} has no attribute {unknown[0]!r}; it has: {', '.join(QUEUE_ATTRIBUTES)}.")
    dead_letter_queue = attributes.pop("dead_letter_queue", None)
    max_receive_count = attributes.pop("max_receive_count", None)
    ready = {"FifoQueue": "true"} if name.endswith(FIFO) else {}
    for attribute, value in attributes.items():
        aws_name, text = queue_attribute(name, attribute, value)
        ready[aws_name] = text
    return QueueRef(name, ready, *redrive(name, dead_letter_queue, max_receive_count))


def bus_ref(name: str) -> BusRef:
    require(name, BUS_NAME, "bus", "1 to 256 of A-Z, a-z, 0-9, '.', '-' and '_'")
    return BusRef(name)


def api_ref(protocol: str, name: str, **options: Any) -> ApiRef:
    """Options that are None were not given. What the values may be, the gateway knows."""
    require(name, API_NAME, "API", "1 to 63 of a-z, 0-9 and '-', with a letter or digit at both ends")
    given = {option: str(value) if isinstance(value, AuthorizerRef | Path) else value for option, value in options.items() if value is not None}
    try:
        plain = json.loads(json.dumps(given, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SettingError(f"API {name!r}: its options are no plain JSON values: {error}.") from error
    return ApiRef(protocol, name, plain)


def authorizer_ref(name: str, type: str, **options: Any) -> AuthorizerRef:
    """Options that are None were not given. What the values may be, the gateway knows."""
    require(name, AUTHORIZER_NAME, "authorizer", "1 to 128 of A-Z, a-z, 0-9, '_' and '-', and is neither 'iam' nor 'none'")
    given = {option: str(value) if isinstance(value, Path) else value for option, value in options.items() if value is not None}
    try:
        return AuthorizerRef(name, json.loads(json.dumps({"type": type, **given}, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise SettingError(f"Authorizer {name!r}: its options are no plain JSON values: {error}.") from error


def api_key_ref(name: str, value: str | None, variable: str | None, file: str | Path | None, enabled: bool) -> ApiKeyRef:
    require(name, KEY_NAME, "API key", "1 to 128 of A-Z, a-z, 0-9, '.', '-' and '_'")
    given = {"value": value, "variable": variable, "file": None if file is None else str(file)}
    options: dict[str, Any] = {option: text for option, text in given.items() if text is not None}
    if len(options) > 1:
        raise SettingError(f"API key {name!r}: its value comes from one place; it has {' and '.join(options)}.")
    for option, text in options.items():
        if not isinstance(text, str) or not text:
            raise SettingError(f"API key {name!r}: {option} is refused: it takes a text.")
    if not isinstance(enabled, bool):
        raise SettingError(f"API key {name!r}: enabled={enabled!r} is refused: it takes True or False.")
    return ApiKeyRef(name, {**options, "enabled": enabled})


def usage_plan_ref(name: str, **options: Any) -> UsagePlanRef:
    """Options that are None were not given. What the values may be, the gateway knows."""
    require(name, KEY_NAME, "usage plan", "1 to 128 of A-Z, a-z, 0-9, '.', '-' and '_'")
    given = {option: value for option, value in options.items() if value is not None}
    for option in ("keys", "apis"):
        if isinstance(given.get(option), list | tuple):
            given[option] = [str(one) for one in given[option]]
    try:
        return UsagePlanRef(name, json.loads(json.dumps(given, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise SettingError(f"Usage plan {name!r}: its options are no plain JSON values: {error}.") from error


def route_ref(protocol: str, api: ApiRef | str, key: str, integration: Mapping[str, Any], **given: Any) -> RouteRef:
    """What is None was not given."""
    if isinstance(api, ApiRef):
        protocol = api.protocol
    options: dict[str, Any] = {"integration": integration, **{option: value for option, value in given.items() if value not in (None, [])}}
    if "authorizer" in options:
        options["authorizer"] = str(options["authorizer"])
    return RouteRef(f"{protocol}/{api}/{key}", options)


def check_bucket_name(name: object) -> None:
    """Refuse a name that S3 would refuse (S3 user guide, "General purpose bucket naming rules")."""
    require(name, BUCKET_NAME, "bucket", "3 to 63 of a-z, 0-9, '-' and '.', with a letter or digit at both ends")
    name = str(name)
    if ".." in name or is_address(name):
        raise SettingError(f"The bucket name {name!r} is refused: S3 allows neither two dots in a row nor the form of an IP address.")
    for affix in (*BUCKET_PREFIXES, *BUCKET_SUFFIXES):
        if (affix in BUCKET_PREFIXES and name.startswith(affix)) or (affix in BUCKET_SUFFIXES and name.endswith(affix)):
            raise SettingError(f"The bucket name {name!r} is refused: S3 keeps {affix!r} for itself.")


def check_queue_name(name: object) -> None:
    """Refuse a name that SQS would refuse: 1 to 80 characters, the ``.fifo`` of a FIFO queue counted."""
    stem = name.removesuffix(FIFO) if isinstance(name, str) else name
    rule = "1 to 80 of A-Z, a-z, 0-9, '_' and '-'; a FIFO queue's name ends in .fifo"
    require(stem, QUEUE_NAME, "queue", rule)
    if len(str(name)) > LONGEST_QUEUE_NAME:
        raise SettingError(f"The queue name {name!r} is refused: it takes {rule}.")


def check_key(table: str, setting: str, attribute: object, kind: object) -> None:
    if not isinstance(attribute, str) or not 1 <= len(attribute.encode()) <= LONGEST_PARTITION_KEY:
        raise SettingError(f"Table {table!r}: {setting}={attribute!r} is refused: it takes an attribute name of 1 to 255 bytes.")
    if kind not in KEY_TYPES:
        raise SettingError(f"Table {table!r}: {setting}_type={kind!r} is refused: it takes 'S' (text), 'N' (number) or 'B' (binary).")


def queue_attribute(queue: str, attribute: str, value: object) -> tuple[str, str]:
    """One attribute as SQS names and writes it."""
    if attribute == "content_based_deduplication":
        if not isinstance(value, bool) or (value and not queue.endswith(FIFO)):
            raise SettingError(
                f"Queue {queue!r}: {attribute}={value!r} is refused: it takes True or False, and True only where the name ends in .fifo."
            )
        return "ContentBasedDeduplication", str(value).lower()
    aws_name, least, most, unit = QUEUE_NUMBERS[attribute]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SettingError(f"Queue {queue!r}: {attribute}={value!r} is refused: it takes a whole number from {least} to {most} ({unit}).")
    return aws_name, str(value)


def redrive(queue: str, target: object, receives: object) -> tuple[str | None, int | None]:
    """Where messages go that were received too often, and how often that is."""
    if target is None and receives is None:
        return None, None
    if not isinstance(target, (QueueRef, str)) or receives is None:
        raise SettingError(f"Queue {queue!r}: dead_letter_queue (a queue of this app) and max_receive_count go together; give both.")
    if not isinstance(receives, int) or isinstance(receives, bool) or not 1 <= receives <= MOST_RECEIVES:
        raise SettingError(f"Queue {queue!r}: max_receive_count={receives!r} is refused: it takes a whole number from 1 to {MOST_RECEIVES}.")
    if str(target) == queue or str(target).endswith(FIFO) != queue.endswith(FIFO):
        raise SettingError(f"Queue {queue!r}: dead_letter_queue={str(target)!r} is refused: it takes another queue, FIFO exactly where this one is.")
    return str(target), receives


def require(name: object, pattern: re.Pattern[str], noun: str, rule: str) -> None:
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise SettingError(f"The {noun} name {name!r} is refused: it takes {rule}.")


def is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
