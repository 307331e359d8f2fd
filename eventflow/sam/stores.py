"""Where data is: queues, tables, buckets with their notifications, and buses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from eventflow.errors import SettingError
from eventflow.reference import check_bucket_name, check_queue_name
from eventflow.sam.plan import Plan
from eventflow.sam.properties import Properties
from eventflow.sam.stack import Declared

QUEUE_ATTRIBUTES = (
    "DelaySeconds",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "VisibilityTimeout",
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "FifoThroughputLimit",
)
#: Members of CreateTable that a table of CloudFormation has under the same name; DynamoDB checks what they say.
TABLE_MEMBERS = (
    "AttributeDefinitions",
    "KeySchema",
    "BillingMode",
    "ProvisionedThroughput",
    "GlobalSecondaryIndexes",
    "LocalSecondaryIndexes",
    "TableClass",
    "DeletionProtectionEnabled",
)
EVENTS = "s3:"
#: CloudFormation's names of what a CORS rule has, and S3's.
S3_CORS = {
    "AllowedHeaders": "AllowedHeaders",
    "AllowedMethods": "AllowedMethods",
    "AllowedOrigins": "AllowedOrigins",
    "ExposedHeaders": "ExposeHeaders",
    "Id": "ID",
}


def queue(plan: Plan, resource: Declared) -> None:
    """AWS::SQS::Queue."""
    said, name = plan.properties(resource), plan.stack.physical(resource.id)
    said.ignore("QueueName", "Tags")
    check_name(said, "QueueName", name, check_queue_name)
    fifo = said.truth("FifoQueue", name.endswith(".fifo"))
    if fifo != name.endswith(".fifo"):
        said.wrong("FifoQueue", f"the name {name!r} says otherwise: a FIFO queue's name ends in .fifo.")
    attributes = {member: text_of(said.take(member)) for member in QUEUE_ATTRIBUTES if member in said}
    options: dict[str, Any] = {}
    redrive = said.json("RedrivePolicy")
    if redrive is not None:
        policy = Properties(f"{said.where}.RedrivePolicy", redrive, plan.problems)
        target = plan.named(policy.take("deadLetterTargetArn"))
        receives = policy.number("maxReceiveCount")
        policy.finish()
        if target is None or target.kind != "queue" or receives is None:
            policy.wrong("", "it takes deadLetterTargetArn, the ARN of a queue, and maxReceiveCount.")
        else:
            options |= {"dead_letter_queue": target.name, "max_receive_count": receives}
    allow = said.json("RedriveAllowPolicy")
    if allow is not None:
        attributes["RedriveAllowPolicy"] = json.dumps(allow)
    said.only("SqsManagedSseEnabled", False, "false", why="messages are not encrypted.")
    said.finish()
    if attributes:
        options["Attributes"] = attributes
    plan.add("queue", name, options)


def check_name(said: Properties, member: str, name: str, check: Callable[[str], object]) -> None:
    """``check`` raises SettingError for a name that the service refuses, which is a problem of ``member``."""
    try:
        check(name)
    except SettingError as error:
        said.wrong(member, str(error))


def text_of(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def table(plan: Plan, resource: Declared) -> None:
    """AWS::DynamoDB::Table."""
    said, name = plan.properties(resource), plan.stack.physical(resource.id)
    said.ignore("TableName")
    definition = {member: numbers(said.take(member)) for member in TABLE_MEMBERS if member in said}
    definition.setdefault("BillingMode", "PROVISIONED" if "ProvisionedThroughput" in definition else "PAY_PER_REQUEST")
    stream = said.at("StreamSpecification")
    view = stream.text("StreamViewType")
    if view is not None:
        definition["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view}
    tags = said.take("Tags")
    if tags:
        definition["Tags"] = tags
    encryption = said.at("SSESpecification")
    encryption.only("SSEEnabled", False, "false", why="items are not encrypted.")
    recovery = said.at("PointInTimeRecoverySpecification")
    recovery.only("PointInTimeRecoveryEnabled", False, "false", why="there is no recovery of a point in time.")
    lifetime = said.at("TimeToLiveSpecification")
    attribute, enabled = lifetime.text("AttributeName"), lifetime.truth("Enabled", True)
    said.finish()
    options: dict[str, Any] = {"definition": definition}
    if attribute is not None and enabled:
        options["time_to_live"] = attribute
    plan.add("table", name, options)


def numbers(value: Any, member: str = "") -> Any:
    """Capacity units are numbers to DynamoDB; parameters of templates are texts."""
    if isinstance(value, list):
        return [numbers(one) for one in value]
    if isinstance(value, dict):
        return {name: numbers(one, name) for name, one in value.items()}
    if member.endswith("CapacityUnits") and isinstance(value, str) and value.isdecimal():
        return int(value)
    return value == "true" if member == "DeletionProtectionEnabled" and isinstance(value, str) else value


def bucket(plan: Plan, resource: Declared) -> None:
    """AWS::S3::Bucket; its notifications to functions are triggers."""
    said, name = plan.properties(resource), plan.stack.physical(resource.id)
    said.ignore("BucketName", "Tags")
    check_name(said, "BucketName", name, check_bucket_name)
    for member in ("PublicAccessBlockConfiguration", "OwnershipControls", "AccessControl"):
        if member in said:
            said.ignore(member)
            plan.note(f"{resource}.{member}: permissions are not enforced yet.")
    options = {"versioning": said.at("VersioningConfiguration").text("Status"), "cors": cors_rules(said.at("CorsConfiguration"))}
    plan.add("bucket", name, {option: value for option, value in options.items() if value is not None})
    notifications = said.at("NotificationConfiguration")
    found: dict[tuple[str, tuple[str, ...], tuple[str, ...]], tuple[str, list[str]]] = {}
    for one in notifications.each("LambdaConfigurations"):
        notification(plan, one, found)
    said.finish()
    for (function, prefix, suffix), (where, events) in found.items():
        plan.trigger(where, function, "bucket", name=name, events=events, prefix=list(prefix), suffix=list(suffix))


def cors_rules(said: Properties) -> list[dict[str, Any]] | None:
    """The rules in the words of S3's API, which are others than CloudFormation's; None where there are none."""
    found = []
    for one in said.each("CorsRules"):
        rule = {S3_CORS[member]: one.take(member) for member in S3_CORS if member in one}
        found.append(rule | {"MaxAgeSeconds": one.number("MaxAge")} if "MaxAge" in one else rule)
    return found or None


def log_group(plan: Plan, resource: Declared) -> None:
    """AWS::Logs::LogGroup, for rules that write to it. What functions write is not in log groups."""
    said, name = plan.properties(resource), plan.stack.physical(resource.id)
    said.ignore("LogGroupName", "Tags")
    days = said.number("RetentionInDays")
    said.only("LogGroupClass", "STANDARD", why="there is one class.")
    said.finish()
    if name.startswith("/aws/lambda/"):
        said.absent("LogGroupName", f"{name!r}: what functions write is kept in the state directory for as long as --retention-days says.")
        return
    plan.add("log_group", name, {} if days is None else {"retention_days": days})


def notification(plan: Plan, said: Properties, found: dict[tuple[str, tuple[str, ...], tuple[str, ...]], tuple[str, list[str]]]) -> None:
    """One configuration; those with one function and one filter are one trigger, as they are one event of SAM."""
    target, events = said.take("Function"), [str(event).removeprefix(EVENTS) for event in said.listed("Event")]
    prefix: list[str] = []
    suffix: list[str] = []
    for rule in said.at("Filter").at("S3Key").each("Rules"):
        kind, value = str(rule.take("Name")).lower(), rule.text("Value", "") or ""
        if kind not in ("prefix", "suffix"):
            rule.wrong("Name", "it takes prefix or suffix.")
        (prefix if kind == "prefix" else suffix).append(value)
    function = plan.function_named(target)
    if function is None:
        if not plan.stack.is_absent(target):
            said.wrong("Function", f"{target!r} is no function of this template.")
        return
    _where, known = found.setdefault((function, tuple(prefix), tuple(suffix)), (said.where, []))
    known.extend(event for event in events if event not in known)


def bus(plan: Plan, resource: Declared) -> None:
    """AWS::Events::EventBus."""
    said = plan.properties(resource)
    said.ignore("Name", "Tags", "Description")
    said.finish()
    plan.add("bus", plan.stack.physical(resource.id))
