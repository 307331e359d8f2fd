"""The settings of one function, validated once with Lambda's ranges."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypedDict

from eventflow.errors import SettingError
from eventflow.outcome import RetryPolicy
from eventflow.reference import BucketRef, BusRef, QueueRef, TableRef, check_queue_name

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
VARIABLE_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
LARGEST_ENVIRONMENT = 4_096
LONGEST_DESCRIPTION = 256
#: Ours: Lambda waits one minute and two, and retries twice.
MOST_RETRY_DELAYS = 100
LONGEST_RETRY_DELAY = 7 * 86_400
STREAMED = "RESPONSE_STREAM"
#: Lambda's name of the code that can still be changed.
LATEST = "$LATEST"
#: Lambda's word for recursive loops that are not stopped.
ALLOW = "Allow"
#: What a function has by API or by a template alone: whoever sets it has checked it.
UNCHECKED = ("package", "version", "recursive_loop", "provisioned_concurrency")
URL_MODES = ("BUFFERED", STREAMED)

TEXT, JSON = "Text", "JSON"
#: Lambda's levels of a function's own log, and of its own lines about it, from the most detail to the least.
APPLICATION_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
SYSTEM_LEVELS = ("DEBUG", "INFO", "WARN")
USUAL_LEVEL = "INFO"

#: Variables that Lambda sets itself and refuses from users (Lambda developer guide, "Defined runtime environment variables").
RESERVED_VARIABLES = frozenset(
    (
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "LAMBDA_TASK_ROOT",
        "LAMBDA_RUNTIME_DIR",
    )
)

#: What Lambda has and nothing here enforces yet.
UNSUPPORTED = frozenset(
    (
        "accelerator",
        "architecture",
        "architectures",
        "capacity_provider",
        "code_signing",
        "durable",
        "dead_letter_topic",
        "ephemeral_storage",
        "file_system",
        "image",
        "kms_key",
        "layers",
        "logging",
        "package_type",
        "policies",
        "policy",
        "provisioned_concurrency",
        "publish",
        "recursive_loop",
        "role",
        "runtime",
        "runtime_management",
        "tags",
        "tenancy",
        "tracing",
        "vpc",
        "vpc_config",
    )
)

#: Names under which people know a setting from AWS, SAM or Chalice.
OTHER_NAMES = {
    "memory_size": "memory",
    "time_limit": "timeout",
    "concurrency": "reserved_concurrency",
    "reserved_concurrent_executions": "reserved_concurrency",
    "maximum_retry_attempts": "retries",
    "max_retries": "retries",
    "maximum_event_age_in_seconds": "maximum_event_age",
    "max_event_age": "maximum_event_age",
    "environment_variables": "environment",
    "env": "environment",
    "variables": "environment",
    "dlq": "dead_letter_queue",
    "dead_letter_config": "dead_letter_queue",
    "function_name": "name",
}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the record of an asynchronous event's end goes: ``kind`` is ``queue``, ``function``, ``bus`` or, of a failure, ``bucket``."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Package:
    """Code that is not of the application's own module: that of a function in a template, or of one that was created by API.

    ``runtime`` is Lambda's name of what runs it (``python3.11``, ``nodejs20.x``, ``java17``, ``provided.al2023``), ``folder`` the absolute path of
    its code, which the function knows as ``LAMBDA_TASK_ROOT``; ``layers`` are the folders of its unpacked layers, in the order in which Lambda
    would unpack them. The function's ``handler`` is Lambda's text then: ``folder/module.function``, ``index.handler``.
    """

    runtime: str
    folder: str
    layers: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Package:
        return cls(values["runtime"], values["folder"], tuple(values["layers"]))


class FunctionSettings(TypedDict, total=False):
    """What ``@app.on(...)`` and ``@app.function(...)`` take; ``Function`` says what each means."""

    name: str
    memory: int
    timeout: int
    retries: int
    maximum_event_age: int
    reserved_concurrency: int | None
    on_success: QueueRef | BusRef | str | Callable[..., Any] | None
    on_failure: QueueRef | BusRef | BucketRef | str | Callable[..., Any] | None
    dead_letter_queue: QueueRef | str | None
    environment: Mapping[str, str]
    description: str
    snap_start: bool
    retry_delays: Sequence[int] | None
    url: bool | Mapping[str, Any] | None
    log_format: str
    application_log_level: str | None
    system_log_level: str | None


@dataclass(frozen=True)
class Function:
    """One function. ``handler`` is ``module:qualname``; ``memory`` in MB; ``timeout`` and ``maximum_event_age`` in seconds; ``retries`` counts
    what follows the first attempt of an asynchronous event; ``reserved_concurrency`` is how many may run at once (0 switches the function off,
    None shares what the account has); ``on_success`` and ``on_failure`` get AWS's record of an asynchronous event's end, ``dead_letter_queue``
    the bare event; with ``snap_start`` the init runs once, and environments begin as copies of a process that has done it; ``url`` gives it an
    address of its own on the gateway (``auth``, ``cors``, ``invoke_mode``). ``package`` is its code where that is not the application's module,
    ``version`` the number of a published version. ``retry_delays``, which Lambda does not have, are the seconds before each retry after a function
    error, in place of ``retries``. With ``log_format`` "JSON" its log has one JSON object a line; ``application_log_level`` and
    ``system_log_level`` (None: INFO) are the least that is kept of what it writes and of what is written about it. With ``recursive_loop`` "Allow"
    chains of events in which it stands often go on. So many environments as ``provisioned_concurrency``
    says have done their init before anybody asks.
    """

    name: str
    handler: str
    memory: int = 128
    timeout: int = 3
    retries: int = 2
    maximum_event_age: int = 21_600
    reserved_concurrency: int | None = None
    on_success: Destination | None = None
    on_failure: Destination | None = None
    dead_letter_queue: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    description: str = ""
    snap_start: bool = False
    url: Mapping[str, Any] | None = field(default=None, hash=False)
    retry_delays: tuple[int, ...] | None = None
    log_format: str = TEXT
    application_log_level: str | None = None
    system_log_level: str | None = None
    package: Package | None = None
    version: str = LATEST
    recursive_loop: str = "Terminate"
    provisioned_concurrency: int = 0
    #: Not 0 for what one invocation with a debugger runs as: its environment waits for one on this port of loopback.
    debug_port: int = 0

    @cached_property
    def key(self) -> str:
        """What dispatcher and pool know it by: the name, of a published version ``name:version``."""
        key = self.name if self.version == LATEST else f"{self.name}:{self.version}"
        return f"{key}:debug:{self.debug_port}" if self.debug_port else key

    @cached_property
    def logs_json(self) -> bool:
        return self.log_format == JSON

    @cached_property
    def policy(self) -> RetryPolicy:
        if self.retry_delays is None:
            return RetryPolicy(retries=self.retries, maximum_age=self.longest_wait)
        return RetryPolicy(len(self.retry_delays), self.longest_wait, tuple(map(float, self.retry_delays)))

    @cached_property
    def longest_wait(self) -> float:
        """Seconds from an event's acceptance to its last possible attempt: the event's greatest age, beside the delays that were asked for."""
        return float(self.maximum_event_age + sum(self.retry_delays or ()))

    def arn(self, region: str, account: str) -> str:
        return f"arn:aws:lambda:{region}:{account}:function:{self.name}"

    def to_json(self) -> dict[str, Any]:
        found = dataclasses.asdict(self) | {"environment": dict(self.environment)}
        del found["debug_port"]
        return found

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Function:
        """The function that ``to_json`` wrote, its values checked again."""
        settings = {name: value for name, value in values.items() if name not in ("handler", *UNCHECKED)}
        package = values.get("package")
        for destination in ("on_success", "on_failure"):
            if isinstance(settings.get(destination), Mapping):
                settings[destination] = Destination(**settings[destination])
        ready = checked(str(values.get("name")), settings)
        return cls(
            handler=values["handler"],
            package=None if package is None else Package.from_json(package),
            version=values.get("version", LATEST),
            recursive_loop=values.get("recursive_loop", "Terminate"),
            provisioned_concurrency=values.get("provisioned_concurrency", 0),
            **ready,
        )


def checked(function: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as ``Function`` keeps them; SettingError names the function, the setting, the value and what it takes."""
    ready = {}
    for setting, value in settings.items():
        if setting not in CHECKS:
            raise SettingError(f"Function {function!r}: {unknown(setting)}")
        try:
            ready[setting] = CHECKS[setting](value)
        except SettingError as error:
            raise SettingError(f"Function {function!r}: {setting}={value!r} is refused: {error}") from error
    for setting in ("application_log_level", "system_log_level"):
        if ready.get(setting) is not None and ready.get("log_format") != JSON:
            raise SettingError(f"Function {function!r}: {setting}={ready[setting]!r} is refused: levels need log_format={JSON!r}; Text has none.")
    return ready


def unknown(setting: str) -> str:
    """Why a setting is not taken, and what to write instead."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", setting).lower()
    if plain in UNSUPPORTED:
        return f"the setting {setting!r} is not supported yet; remove it, nothing here would enforce it."
    if plain in CHECKS or plain in OTHER_NAMES:
        return f"there is no setting {setting!r}; it is called {OTHER_NAMES.get(plain, plain)!r} here."
    close = difflib.get_close_matches(plain, CHECKS, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"there is no setting {setting!r}.{hint} There are: {', '.join(CHECKS)}."


# What each setting takes. A check returns the value as it is kept, or raises SettingError with the end of the sentence.


@dataclass(frozen=True, slots=True)
class WholeNumber:
    """A whole number in a range; True and False are none, though Python counts them as such."""

    least: int
    most: int
    unit: str
    optional: bool = False

    def __call__(self, value: object) -> int | None:
        if value is None and self.optional:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not self.least <= value <= self.most:
            raise SettingError(f"it takes a whole number from {self.least} to {self.most} ({self.unit}){', or None' if self.optional else ''}.")
        return value


def function_name(value: object) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise SettingError("it takes 1 to 64 of A-Z, a-z, 0-9, '_' and '-'.")
    return value


REFERENCES: Mapping[str, Callable[[str], QueueRef | BusRef | BucketRef]] = {"queue": QueueRef, "bus": BusRef, "bucket": BucketRef}


def destination(value: object) -> Destination | None:
    """A queue or a bus by its reference, a function by its name."""
    if value is None:
        return None
    if isinstance(value, Destination):
        value = REFERENCES[value.kind](value.name) if value.kind in REFERENCES else value.name
    if isinstance(value, QueueRef):
        return Destination("queue", standard_queue(value.name))
    if isinstance(value, BusRef):
        return Destination("bus", value.name)
    if isinstance(value, BucketRef):
        raise SettingError("a bucket takes the records of failures alone (AWS has it so): on_failure=app.bucket(...).")
    if isinstance(value, TableRef):
        raise SettingError("a table cannot be a destination; a queue, a bus and a function can, and for failures a bucket.")
    if isinstance(value, str) and value.startswith("arn:"):
        raise SettingError(
            "an ARN is not taken: pass what app.queue(...) or app.bus(...) returned, or a function's name. A topic cannot be a destination."
        )
    try:
        return Destination("function", function_name(value))
    except SettingError as error:
        raise SettingError("it takes a queue of app.queue(...), a bus of app.bus(...), a function of this app, or that function's name.") from error


def failure_destination(value: object) -> Destination | None:
    """As ``destination``, and a bucket by its reference."""
    if isinstance(value, Destination) and value.kind == "bucket":
        value = BucketRef(value.name)
    return Destination("bucket", value.name) if isinstance(value, BucketRef) else destination(value)


def dead_letter_queue(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (str, QueueRef)):
        raise SettingError("it takes a queue of app.queue(...) or that queue's name.")
    check_queue_name(str(value))
    return standard_queue(str(value))


def standard_queue(name: str) -> str:
    if name.endswith(".fifo"):
        raise SettingError("Lambda sends asynchronous results to standard queues only; this one is FIFO.")
    return name


def environment(value: object) -> dict[str, str]:
    """Variables of the function's process. Lambda measures their total as JSON."""
    if not isinstance(value, Mapping):
        raise SettingError("it takes a dict of names to texts.")
    for name, text in value.items():
        if not isinstance(name, str) or not VARIABLE_NAME.fullmatch(name):
            raise SettingError(f"the name {name!r} must be a letter and then one or more letters, digits or '_'.")
        if name in RESERVED_VARIABLES:
            raise SettingError(f"{name} is set by the runtime itself; choose another name.")
        if not isinstance(text, str) or "\0" in text:
            raise SettingError(f"{name} must be text without a null character, and is {text!r}.")
    size = len(json.dumps(dict(value), ensure_ascii=False, separators=(",", ":")).encode())
    if size > LARGEST_ENVIRONMENT:
        raise SettingError(f"all variables together may take {LARGEST_ENVIRONMENT} bytes as JSON, and these take {size}.")
    return dict(value)


def description(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_DESCRIPTION:
        raise SettingError(f"it takes a text of at most {LONGEST_DESCRIPTION} characters.")
    return value


def retry_delays(value: object) -> tuple[int, ...] | None:
    if value is None:
        return None
    fits = isinstance(value, Sequence) and not isinstance(value, str) and len(value) <= MOST_RETRY_DELAYS
    if not fits or not all(isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= LONGEST_RETRY_DELAY for one in value):  # type: ignore[attr-defined]
        raise SettingError(f"it takes up to {MOST_RETRY_DELAYS} whole numbers from 1 to {LONGEST_RETRY_DELAY} (seconds before each retry), or None.")
    return tuple(value)  # type: ignore[arg-type]


def yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise SettingError("it takes True or False.")
    return value


@dataclass(frozen=True, slots=True)
class OneOf:
    choices: tuple[str, ...]
    optional: bool = False

    def __call__(self, value: object) -> str | None:
        if value is None and self.optional:
            return None
        if value not in self.choices:
            raise SettingError(f"it takes one of {', '.join(self.choices)}{', or None' if self.optional else ''}.")
        return str(value)


def function_url(value: object) -> Mapping[str, Any] | None:
    """What SAM calls FunctionUrlConfig. The daemon's gateway checks ``cors``."""
    if value is None or value is False:
        return None
    given = {} if value is True else value
    if not isinstance(given, Mapping) or not given.keys() <= {"auth", "cors", "invoke_mode"}:
        raise SettingError("it takes True, or a dict with auth, cors and invoke_mode.")
    auth, mode = given.get("auth", "NONE"), given.get("invoke_mode", "BUFFERED")
    if auth not in ("NONE", "AWS_IAM"):
        raise SettingError(f"auth={auth!r} is no way to be let in; there are NONE (anybody is) and AWS_IAM.")
    if mode not in URL_MODES:
        raise SettingError(f"invoke_mode={mode!r} is not supported; there is {' and '.join(URL_MODES)}.")
    return {"auth": auth, "invoke_mode": mode, **({"cors": given["cors"]} if "cors" in given else {})}


def names_version(qualifier: str | None) -> bool:
    """Whether it names a version, and not an alias; without one, ``$LATEST`` is meant."""
    return qualifier is None or qualifier == LATEST or qualifier.isdecimal()


CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "name": function_name,
    "memory": WholeNumber(128, 10_240, "MB"),
    "timeout": WholeNumber(1, 900, "seconds"),
    "retries": WholeNumber(0, 2, "after the first attempt"),
    "maximum_event_age": WholeNumber(60, 21_600, "seconds"),
    "reserved_concurrency": WholeNumber(0, 1_000, "invocations at once", optional=True),
    "on_success": destination,
    "on_failure": failure_destination,
    "dead_letter_queue": dead_letter_queue,
    "environment": environment,
    "description": description,
    "snap_start": yes_or_no,
    "retry_delays": retry_delays,
    "url": function_url,
    "log_format": OneOf((TEXT, JSON)),
    "application_log_level": OneOf(APPLICATION_LEVELS, optional=True),
    "system_log_level": OneOf(SYSTEM_LEVELS, optional=True),
}
