"""What is kept of a function that was made by API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from eventflow.function import LATEST, TEXT
from eventflow.services.functions.code import Code

#: The number under which $LATEST is kept.
NEWEST = 0
#: What the state file can hold; no number is ever as large.
LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What CreateFunction and UpdateFunctionConfiguration say of a function, checked: ``memory`` in MB, ``timeout`` in seconds, ``dead_letter`` the
    ARN of a queue, ``layers`` the ARNs of layer versions, in order; the levels are None where logs are text."""

    runtime: str
    handler: str
    role: str
    description: str = ""
    timeout: int = 3
    memory: int = 128
    environment: Mapping[str, str] = field(default_factory=dict)
    dead_letter: str | None = None
    layers: tuple[str, ...] = ()
    log_format: str = TEXT
    application_log_level: str | None = None
    system_log_level: str | None = None

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "environment": dict(self.environment)}, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Settings:
        values = json.loads(text)
        return cls(**{**values, "layers": tuple(values["layers"])})


@dataclass(frozen=True, slots=True)
class LayerUse:
    """A layer's version as a function's version uses it."""

    arn: str
    code: Code


@dataclass(frozen=True, slots=True)
class EventSettings:
    """What becomes of asynchronous events: None is what was not set. ``maximum_age`` in seconds; the destinations are ARNs."""

    retries: int | None = None
    maximum_age: int | None = None
    on_success: str | None = None
    on_failure: str | None = None
    modified_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Version:
    """``$LATEST`` (number 0), or a published version; ``described`` is the description that ``$LATEST`` had when it was published."""

    function: str
    number: int
    settings: Settings
    code: Code
    layers: tuple[LayerUse, ...]
    revision: str
    modified_at: float
    described: str | None = None

    @property
    def version(self) -> str:
        return version_of(self.number)

    @property
    def key(self) -> str:
        """What the dispatcher knows it by."""
        return self.function if self.number == NEWEST else f"{self.function}:{self.number}"

    @property
    def contents(self) -> list[str]:
        return [self.code.sha, *(layer.code.sha for layer in self.layers)]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all versions of a function have in common."""

    name: str
    reserved_concurrency: int | None
    recursive_loop: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for a version; with ``other``, the part ``weight`` (0 to 1) of the invocations goes to that one."""

    function: str
    name: str
    number: int
    description: str
    other: int | None
    weight: float
    revision: str


@dataclass(frozen=True, slots=True)
class LayerVersion:
    layer: str
    number: int
    description: str
    license: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]
    code: Code
    created_at: float


@dataclass(frozen=True, slots=True)
class Url:
    """A function URL; ``qualifier`` is an alias, or empty for ``$LATEST``. ``id`` begins its host's name."""

    function: str
    qualifier: str
    id: str
    auth: str
    mode: str
    cors: Mapping[str, Any] | None
    created_at: float
    modified_at: float


def version_of(number: int) -> str:
    return LATEST if number == NEWEST else str(number)


def number_of(version: str) -> int:
    return NEWEST if version == LATEST else min(int(version), LARGEST)
