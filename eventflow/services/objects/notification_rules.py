"""A bucket's notification configuration as S3 takes it: destinations, events and filters, checked and flattened into rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from eventflow.errors import ServiceError

#: The lists of a configuration by the member of their destination's ARN.
LISTS = {"LambdaFunctionConfigurations": "LambdaFunctionArn", "QueueConfigurations": "QueueArn", "TopicConfigurations": "TopicArn"}
BUS = "EventBridgeConfiguration"
FUNCTION_ARN, QUEUE_ARN, BUS_ARN = "LambdaFunctionArn", "QueueArn", "EventBridge"
#: Events that happen here. A destination that asks for another could wait for ever.
EVENTS = frozenset(
    (
        *(f"s3:ObjectCreated:{what}" for what in ("*", "Put", "Post", "Copy", "CompleteMultipartUpload")),
        *(f"s3:{kind}:{what}" for kind in ("ObjectRemoved", "LifecycleExpiration") for what in ("*", "Delete", "DeleteMarkerCreated")),
    )
)
#: The other events that S3 has.
NEVER = (
    *("s3:ReducedRedundancyLostObject", "s3:ObjectRestore:", "s3:Replication:", "s3:LifecycleTransition", "s3:IntelligentTiering"),
    *("s3:ObjectTagging:", "s3:ObjectAcl:Put"),
)
MOST_RULES = 100
LONGEST_VALUE = 1024
LONGEST_ID = 255


@dataclass(frozen=True, slots=True)
class Rule:
    """One destination of a bucket's events. ``kind`` is the member that its ARN has in the configuration, or ``EventBridge``; ``generation`` tells
    the rule from one that looked the same and was taken away before.
    """

    id: str
    kind: str
    arn: str
    events: tuple[str, ...]
    prefix: str = ""
    suffix: str = ""
    generation: str = ""

    def same(self, other: Rule) -> bool:
        return replace(self, generation="") == replace(other, generation="")

    def overlaps(self, other: Rule) -> bool:
        """Whether one event could be for both."""
        return (
            any(meets(mine, yours) for mine in self.events for yours in other.events)
            and (self.prefix.startswith(other.prefix) or other.prefix.startswith(self.prefix))
            and (self.suffix.endswith(other.suffix) or other.suffix.endswith(self.suffix))
        )


class Notifications(Protocol):
    """What delivers a bucket's events: see ``eventflow.notifications``."""

    async def put(self, bucket: str, configuration: Mapping[str, Any]) -> None: ...
    def get(self, bucket: str) -> Mapping[str, Any]: ...
    async def refresh(self) -> None: ...


def meets(mine: str, yours: str) -> bool:
    return mine == yours or any(one.endswith("*") and other.startswith(one[:-1]) for one, other in ((mine, yours), (yours, mine)))


def read_rules(configuration: Mapping[str, Any], new_id: Any) -> tuple[list[Rule], dict[str, Any]]:
    """The rules of a configuration, and the configuration as it is given back: every rule in it has an id. Raises what S3 raises."""
    if configuration.get("TopicConfigurations"):
        message = "TopicConfigurations: there are no topics here. Use QueueConfigurations, LambdaFunctionConfigurations or EventBridgeConfiguration."
        raise ServiceError("NotImplemented", message, 501, Header="TopicConfigurations")
    rules: list[Rule] = []
    kept: dict[str, Any] = {}
    for name, arn in LISTS.items():
        for given in configuration.get(name) or ():
            entry = {"Id": given.get("Id") or new_id(), **{member: value for member, value in given.items() if member != "Id"}}
            kept.setdefault(name, []).append(entry)
            rules.append(read_rule(entry, arn))
    check_together(rules)
    if configuration.get(BUS) is not None:
        kept[BUS] = {}
        rules.append(Rule("EventBridge", BUS_ARN, "", ("s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:LifecycleExpiration:*")))
    return rules, kept


def read_rule(entry: Mapping[str, Any], arn: str) -> Rule:
    if len(entry["Id"]) > LONGEST_ID:
        raise invalid(f"The Id of a notification configuration can not be longer than {LONGEST_ID} characters.", "Id", entry["Id"])
    if not entry["Events"]:
        raise ServiceError("MalformedXML", "The XML you provided was not well-formed: a notification configuration must name an event.")
    for event in entry["Events"]:
        check_event(event)
    filters = dict(read_filters(((entry.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()))
    return Rule(entry["Id"], arn, entry[arn], tuple(entry["Events"]), filters.get("prefix", ""), filters.get("suffix", ""))


def check_event(event: str) -> None:
    if event in EVENTS:
        return
    if event.startswith(NEVER):
        raise ServiceError("NotImplemented", f"The event {event} does not happen here. Ask for {', '.join(sorted(EVENTS))}.", 501, Header="Event")
    raise invalid("A specified event is not supported for notifications.", "Event", event)


def read_filters(rules: Iterable[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for rule in rules:
        name, value = (rule.get("Name") or "").lower(), rule.get("Value") or ""
        if name not in ("prefix", "suffix"):
            raise invalid("filter rule name must be either prefix or suffix", "FilterRule.Name", rule.get("Name") or "")
        if name in seen:
            raise invalid(f"Cannot specify more than one {name} rule in a filter.", "FilterRule.Name", name)
        if len(value.encode()) > LONGEST_VALUE:
            raise invalid(f"Size of filter rule value cannot exceed {LONGEST_VALUE} bytes in UTF-8 representation", "FilterRule.Value", value)
        seen.add(name)
        yield name, value


def check_together(rules: Sequence[Rule]) -> None:
    if len(rules) > MOST_RULES:
        raise invalid(f"A bucket can have {MOST_RULES} notification configurations.", "NotificationConfiguration", str(len(rules)))
    if len({rule.id for rule in rules}) < len(rules):
        raise invalid("Same ID used for multiple configurations. IDs must be unique.", "Id", "")
    for number, rule in enumerate(rules):
        for other in rules[:number]:
            if rule.overlaps(other):
                message = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
                raise invalid(message, "NotificationConfiguration", f"{other.id}, {rule.id}")


def invalid(message: str, name: str, value: str) -> ServiceError:
    return ServiceError("InvalidArgument", message, ArgumentName=name, ArgumentValue=value)


def no_such_destination(arn: str, why: str) -> ServiceError:
    message = "Unable to validate the following destination configurations"
    return ServiceError("InvalidArgument", message, ArgumentName1=arn, ArgumentValue1=why)
