"""An application as a SAM template: the other way round of ``eventflow.sam.template``. What SAM has no words for is gathered, and told at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eventflow.cors_members import CORS_MEMBERS
from eventflow.errors import EventflowError
from eventflow.function import LATEST, STREAMED, Destination, Function
from eventflow.manifest import Manifest
from eventflow.sam.written_sources import SOURCES
from eventflow.sam.written_stores import STORES

#: Lambda's own limits, where eventflow goes beyond them.
MOST_RETRIES, LONGEST_AGE = 2, 21_600
DEFAULTS = Function("any", "any:any")
DESCRIPTION = "{app}, written by `eventflow export sam`: write it again rather than change it."
POLICY = "Application"
#: Leads to the newest version of a function with SnapStart.
ALIAS = "live"


@dataclass
class Draft:
    """The template as far as it is written. ``ids`` has the logical id of each function, table, queue, bucket, bus and API, by kind and name;
    ``left`` is what SAM cannot say, ``notes`` what belongs to this machine and was left out without loss."""

    manifest: Manifest
    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: dict[tuple[str, str], str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def name(self, kind: str, name: str) -> str:
        """The logical id of something, made if it has none yet: letters and digits, and like no other."""
        known = self.ids.get((kind, name))
        if known is None:
            wanted = "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", name)) or "Unnamed"
            wanted, number = f"{wanted}{kind.capitalize()}", 1
            known = wanted
            while known in self.ids.values():
                number += 1
                known = f"{wanted}{number}"
            self.ids[kind, name] = known
        return known

    def arn(self, kind: str, name: str) -> dict[str, Any]:
        return {"Fn::GetAtt": [self.name(kind, name), "Arn"]}

    def ref(self, kind: str, name: str) -> dict[str, Any]:
        return {"Ref": self.name(kind, name)}

    def has(self, kind: str, name: str) -> bool:
        return (kind, name) in self.ids

    def add(self, kind: str, name: str, type: str, properties: Mapping[str, Any]) -> None:
        self.resources[self.name(kind, name)] = {"Type": type, "Properties": dict(properties)}

    def cannot(self, where: str, text: str) -> None:
        line = f"{where}: {text}"
        if line not in self.left:
            self.left.append(line)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


#: Adds the APIs and what belongs to them: they are written by whoever knows the gateway.
Apis = Callable[[Draft], None]


def write(manifest: Manifest, handlers: Mapping[str, str], apis: Apis) -> Draft:
    """The resources of an application; ``handlers`` are Lambda's texts by function."""
    draft = Draft(manifest)
    for function in manifest.functions:
        draft.name("function", function.name)
    for resource in manifest.resources:
        if resource.kind in STORES:
            STORES[resource.kind](draft, resource)
    for function in manifest.functions:
        draft.add("function", function.name, "AWS::Serverless::Function", written(draft, function, handlers[function.name]))
    for entry in manifest.triggers:
        SOURCES.get(entry.kind, unknown)(draft, entry.function, dict(entry.parameters))
    apis(draft)
    permit(draft)
    draft.resources = dict(sorted(draft.resources.items(), key=lambda pair: pair[1]["Type"] != "AWS::Serverless::Function"))
    return draft


def document(draft: Draft, runtime: str, code: str) -> dict[str, Any]:
    """The whole template: ``runtime`` is Lambda's name of what runs it, ``code`` the folder of the build, from the template's."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": DESCRIPTION.format(app=draft.manifest.app),
        "Globals": {"Function": {"Runtime": runtime, "CodeUri": code}},
        "Resources": draft.resources,
    }


def refuse(draft: Draft) -> None:
    """Raises EventflowError with all that SAM cannot say."""
    if draft.left:
        count = "one thing" if len(draft.left) == 1 else f"{len(draft.left)} things"
        lines = "".join(f"\n  {line}" for line in draft.left)
        raise EventflowError(f"{draft.manifest.app} has {count} that a SAM template cannot say; nothing was written. --lenient leaves out:{lines}")


def unknown(draft: Draft, function: str, parameters: dict[str, Any]) -> None:
    draft.cannot(f"Function {function}", "it has a trigger of another package, which AWS does not know.")


# Functions.


def written(draft: Draft, function: Function, handler: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "FunctionName": function.name,
        "Handler": handler,
        "MemorySize": function.memory,
        "Timeout": function.timeout,
        "Policies": [{"Ref": POLICY}],
    }
    if function.package is not None or function.version != LATEST:
        draft.cannot(f"Function {function.name}", "its code is no part of a Python application; export the template that it comes from.")
    if function.description:
        found["Description"] = function.description
    if function.environment:
        found["Environment"] = {"Variables": dict(function.environment)}
    if function.reserved_concurrency is not None:
        found["ReservedConcurrentExecutions"] = function.reserved_concurrency
    if function.dead_letter_queue is not None:
        found["DeadLetterQueue"] = {"Type": "SQS", "TargetArn": draft.arn("queue", function.dead_letter_queue)}
    if function.logs_json:
        levels = {"ApplicationLogLevel": function.application_log_level, "SystemLogLevel": function.system_log_level}
        found["LoggingConfig"] = {"LogFormat": function.log_format, **{member: level for member, level in levels.items() if level is not None}}
    if function.snap_start:  # which is of versions alone, as an alias publishes them
        found |= {"SnapStart": {"ApplyOn": "PublishedVersions"}, "AutoPublishAlias": ALIAS}
    if function.url is not None:
        found["FunctionUrlConfig"] = url(draft, function)
    found |= asynchronous(draft, function)
    return found


def url(draft: Draft, function: Function) -> dict[str, Any]:
    options = function.url or {}
    found: dict[str, Any] = {"AuthType": options["auth"]}
    if options["invoke_mode"] == STREAMED:
        draft.cannot(f"Function {function.name}, url", "Lambda's own Python runtime streams no responses; invoke_mode is BUFFERED there.")
    cors = options.get("cors")
    if cors:
        found["Cors"] = {member: cors[option] for member, option in CORS_MEMBERS.items() if cors.get(option) not in (None, [], ())}
    return found


def asynchronous(draft: Draft, function: Function) -> dict[str, Any]:
    """How asynchronous events are retried, and where they end."""
    where = f"Function {function.name}"
    if function.retry_delays is not None or function.retries > MOST_RETRIES:
        draft.cannot(where, "Lambda retries after one and two minutes, twice at most; it takes no retry_delays.")
    if function.maximum_event_age > LONGEST_AGE:
        draft.cannot(where, f"maximum_event_age={function.maximum_event_age} is more than the {LONGEST_AGE} seconds that Lambda has.")
    config: dict[str, Any] = {}
    if function.retries != DEFAULTS.retries:
        config["MaximumRetryAttempts"] = min(function.retries, MOST_RETRIES)
    if function.maximum_event_age != DEFAULTS.maximum_event_age:
        config["MaximumEventAgeInSeconds"] = min(function.maximum_event_age, LONGEST_AGE)
    ends = {"OnSuccess": function.on_success, "OnFailure": function.on_failure}
    destinations = {member: destination(draft, end) for member, end in ends.items() if end is not None}
    if destinations:
        config["DestinationConfig"] = destinations
    return {"EventInvokeConfig": config} if config else {}


#: SAM's types of destinations, which give the function the permission that it needs.
DESTINATIONS = {"queue": "SQS", "function": "Lambda", "bus": "EventBridge", "bucket": "S3Bucket"}


def destination(draft: Draft, end: Destination) -> dict[str, Any]:
    if end.kind == "bus" and end.name == "default":
        arn: Any = {"Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:event-bus/default"}
    else:
        arn = draft.arn(end.kind, end.name)
    return {"Type": DESTINATIONS[end.kind], "Destination": arn}


# Permissions: here functions may do everything, on AWS only what a policy says.

ACTIONS = {
    "table": ("dynamodb", ["dynamodb:*Item", "dynamodb:Query", "dynamodb:Scan", "dynamodb:DescribeTable", "dynamodb:PartiQL*"]),
    "queue": (
        "sqs",
        ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueue*", "sqs:PurgeQueue"],
    ),
    "bucket": ("s3", ["s3:GetObject*", "s3:PutObject*", "s3:DeleteObject*", "s3:ListBucket*", "s3:GetBucket*", "s3:AbortMultipartUpload"]),
    "bus": ("events", ["events:PutEvents"]),
    "function": ("lambda", ["lambda:InvokeFunction"]),
}
RESOURCES = {
    "table": ("dynamodb:${AWS::Region}:${AWS::AccountId}:table/{name}", "dynamodb:${AWS::Region}:${AWS::AccountId}:table/{name}/index/*"),
    "queue": ("sqs:${AWS::Region}:${AWS::AccountId}:{name}",),
    "bucket": ("s3:::{name}", "s3:::{name}/*"),
    "bus": ("events:${AWS::Region}:${AWS::AccountId}:event-bus/{name}",),
    "function": ("lambda:${AWS::Region}:${AWS::AccountId}:function:{name}",),
}


def permit(draft: Draft) -> None:
    """One policy for all functions: what the application declares is theirs to use. Names stand in it, not references, which would go in circles."""
    names: dict[str, list[str]] = {}
    for kind, name in draft.ids:
        if kind in ACTIONS:
            names.setdefault(kind, []).append(name)
    names.setdefault("bus", []).append("default")
    statements = [
        {
            "Sid": kind.capitalize(),
            "Effect": "Allow",
            "Action": ACTIONS[kind][1],
            "Resource": [sub(pattern, name) for name in dict.fromkeys(found) for pattern in RESOURCES[kind]],
        }
        for kind, found in sorted(names.items())
    ]
    draft.ids["policy", POLICY] = POLICY
    policy = {"PolicyDocument": {"Version": "2012-10-17", "Statement": statements}}
    draft.resources[POLICY] = {"Type": "AWS::IAM::ManagedPolicy", "Properties": policy}


def sub(pattern: str, name: str) -> Any:
    text = "arn:${AWS::Partition}:" + pattern.replace("{name}", name)
    return {"Fn::Sub": text}
