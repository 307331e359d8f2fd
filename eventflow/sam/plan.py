"""What a template has been understood as so far: functions, triggers and resources of the manifest to be, notes and problems."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventflow.errors import EventflowError
from eventflow.function import Function
from eventflow.manifest import TriggerEntry, make_trigger
from eventflow.sam.intrinsics import Resolver
from eventflow.sam.options import TemplateOptions
from eventflow.sam.problems import Problems
from eventflow.sam.properties import Properties
from eventflow.sam.stack import Declared, Stack
from eventflow.trigger import Resource

ARN = re.compile(r"arn:aws[a-z-]*:(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]*):(?P<account>[0-9]*):(?P<rest>.+)", re.DOTALL)


@dataclass(frozen=True)
class Named:
    """What an ARN names: ``kind`` is ``function``, ``queue``, ``table``, ``bus``, or the ARN's service where eventflow has no such thing."""

    kind: str
    name: str


@dataclass
class Plan:
    """``functions`` are the settings of each function by its name, which resources after it may add to. ``check_runtime`` raises SettingError for a
    runtime that this machine does not have."""

    stack: Stack
    resolver: Resolver
    options: TemplateOptions
    folder: Path
    problems: Problems
    check_runtime: Callable[[str], None]
    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    triggers: list[TriggerEntry] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Functions' names by the logical ids of their roles.
    roles: dict[str, list[str]] = field(default_factory=dict)

    def properties(self, resource: Declared) -> Properties:
        return Properties(str(resource), resource.properties, self.problems)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def named(self, arn: object) -> Named | None:
        """What an ARN of this account and region means; None for what is no such ARN."""
        found = ARN.fullmatch(arn) if isinstance(arn, str) else None
        if found is None or found["account"] not in ("", self.options.account) or found["region"] not in ("", self.options.region):
            return None
        rest = found["rest"]
        if found["service"] == "lambda" and rest.startswith("function:"):
            return Named("function", rest.split(":")[1])
        if found["service"] == "dynamodb" and rest.startswith("table/"):
            return Named("table", rest.split("/")[1])
        if found["service"] == "events" and rest.startswith("event-bus/"):
            return Named("bus", rest.removeprefix("event-bus/"))
        return Named({"sqs": "queue", "s3": "bucket"}.get(found["service"], found["service"]), rest)

    def function_named(self, value: object) -> str | None:
        """The name of a function of the template that a name or an ARN (of it, or of a version or alias) means; None if there is none."""
        found = self.named(value)
        name = found.name if found is not None and found.kind == "function" else str(value).split(":")[0]
        return name if name in self.functions else None

    def function_arn(self, name: str) -> str:
        return f"arn:aws:lambda:{self.options.region}:{self.options.account}:function:{name}"

    def trigger(self, where: str, function: str, kind: str, **parameters: Any) -> None:
        """Add a trigger; what its class refuses is a problem at ``where``."""
        given = {name: value for name, value in parameters.items() if value is not None}
        try:
            made = make_trigger(TriggerEntry(function, kind, given))
            entry = TriggerEntry(function, kind, json.loads(json.dumps(made.parameters())))
        except EventflowError as error:
            self.problems.wrong(where, str(error).removeprefix(f"Function {function!r}: "))
            return
        if entry in self.triggers:
            self.problems.wrong(where, f"function {function} has this trigger twice; remove one.")
            return
        self.triggers.append(entry)

    def add_ends(self, functions: Iterable[Function]) -> None:
        """Have what functions send to, and the template does not declare, made where it is not there."""
        known = {(one.kind, one.name) for one in self.resources}
        for function in functions:
            ends = [end for end in (function.on_success, function.on_failure) if end is not None and end.kind != "function"]
            for kind, name in [(end.kind, end.name) for end in ends] + [("queue", queue) for queue in (function.dead_letter_queue,) if queue]:
                if (kind, name) not in known:
                    known.add((kind, name))
                    self.add(kind, name)

    def add(self, kind: str, name: str, options: Mapping[str, Any] | None = None) -> None:
        self.resources.append(Resource(kind, name, dict(options or {})))
