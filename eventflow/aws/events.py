"""EventBridge's API: operations on buses, rules, targets, archives and replays, mapped to the rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from eventflow.aws.operation import Call, operation, operations_of
from eventflow.errors import ServiceError
from eventflow.pattern import compile_pattern
from eventflow.services.bus import Buses, names
from eventflow.services.bus.archives import Archive
from eventflow.services.bus.catalog import REFUSED_OF_BUSES
from eventflow.services.bus.entries import PutEvent, read_event
from eventflow.services.bus.errors import invalid, refuse_members, unlike
from eventflow.services.bus.history import REFUSED_OF_ARCHIVES
from eventflow.services.bus.records import Bus, Rule
from eventflow.services.bus.replays import Replay
from eventflow.services.bus.rules import CLOUDTRAIL
from eventflow.services.bus.targets import REFUSED as REFUSED_OF_TARGETS

Params = dict[str, Any]
Answer = Mapping[str, Any]
MOST_IN_A_REQUEST = 100
REPLAY_STATES = ("STARTING", "RUNNING", "CANCELLING", "COMPLETED", "CANCELLED", "FAILED")


class EventsService:
    """The buses of the call's region. Everything in this account may put to every bus: permissions (``PutPermission``) are not there."""

    name = "events"

    def __init__(self, buses: Buses) -> None:
        self.operations = operations_of(self)
        self._buses = buses

    # Events.

    @operation("PutEvents", refuses=("EndpointId",))
    async def put_events(self, call: Call, params: Params) -> Answer:
        refuse_members(params, ("EndpointId",), "the parameter ")
        outcomes = await self._buses.put_events(call.region, params["Entries"], call.trace)
        failed = sum(isinstance(outcome, ServiceError) for outcome in outcomes)
        return {"FailedEntryCount": failed, "Entries": [result_of(outcome) for outcome in outcomes]}

    @operation("TestEventPattern")
    async def test_event_pattern(self, call: Call, params: Params) -> Answer:
        return {"Result": compile_pattern(params["EventPattern"]).matches(read_event(params["Event"]))}

    # Buses.

    @operation("CreateEventBus", refuses=REFUSED_OF_BUSES)
    async def create_event_bus(self, call: Call, params: Params) -> Answer:
        await self._buses.catalog.create_bus(call.region, params)
        return {"EventBusArn": self._bus_arn(call, params["Name"]), **given(params, "Description", "LogConfig")}

    @operation("UpdateEventBus", refuses=REFUSED_OF_BUSES)
    async def update_event_bus(self, call: Call, params: Params) -> Answer:
        bus = await self._buses.catalog.update_bus(call.region, self._bus(params.get("Name"), "name"), params)
        return {"Arn": self._bus_arn(call, bus.name), "Name": bus.name, **given({"Description": bus.description}, "Description")}

    @operation("DeleteEventBus")
    async def delete_event_bus(self, call: Call, params: Params) -> None:
        await self._buses.catalog.delete_bus(call.region, self._bus(params["Name"], "name"))

    @operation("DescribeEventBus")
    async def describe_event_bus(self, call: Call, params: Params) -> Answer:
        return self._described(call, await self._buses.catalog.bus(call.region, self._bus(params.get("Name"), "name")))

    @operation("ListEventBuses")
    async def list_event_buses(self, call: Call, params: Params) -> Answer:
        buses, token = await self._buses.catalog.buses(call.region, params.get("NamePrefix") or "", params.get("Limit"), params.get("NextToken"))
        return page("EventBuses", [self._described(call, bus) for bus in buses], token)

    # Rules.

    @operation("PutRule", refuses=(f"State={CLOUDTRAIL}",))
    async def put_rule(self, call: Call, params: Params) -> Answer:
        bus = self._bus(params.get("EventBusName"))
        await self._buses.catalog.put_rule(call.region, bus, params)
        return {"RuleArn": names.rule_arn(call.region, self._buses.account, bus, params["Name"])}

    @operation("DeleteRule")
    async def delete_rule(self, call: Call, params: Params) -> None:
        await self._buses.catalog.delete_rule(call.region, self._bus(params.get("EventBusName")), params["Name"])

    @operation("DescribeRule")
    async def describe_rule(self, call: Call, params: Params) -> Answer:
        rule = await self._buses.catalog.rule(call.region, self._bus(params.get("EventBusName")), params["Name"])
        return {**self._rule(rule), "CreatedBy": self._buses.account}

    @operation("ListRules")
    async def list_rules(self, call: Call, params: Params) -> Answer:
        bus, prefix = self._bus(params.get("EventBusName")), params.get("NamePrefix") or ""
        rules, token = await self._buses.catalog.rules(call.region, bus, prefix, params.get("Limit"), params.get("NextToken"))
        return page("Rules", [self._rule(rule) for rule in rules], token)

    @operation("EnableRule")
    async def enable_rule(self, call: Call, params: Params) -> None:
        await self._buses.catalog.enable_rule(call.region, self._bus(params.get("EventBusName")), params["Name"], enabled=True)

    @operation("DisableRule")
    async def disable_rule(self, call: Call, params: Params) -> None:
        await self._buses.catalog.enable_rule(call.region, self._bus(params.get("EventBusName")), params["Name"], enabled=False)

    @operation("ListRuleNamesByTarget")
    async def list_rule_names_by_target(self, call: Call, params: Params) -> Answer:
        bus, arn = self._bus(params.get("EventBusName")), params["TargetArn"]
        found, token = await self._buses.catalog.rule_names_by_target(call.region, bus, arn, params.get("Limit"), params.get("NextToken"))
        return page("RuleNames", found, token)

    # Targets.

    @operation("PutTargets", partly="no targets but functions, queues, event buses and log groups", refuses=REFUSED_OF_TARGETS)
    async def put_targets(self, call: Call, params: Params) -> Answer:
        check_number("targets", params["Targets"])
        await self._buses.catalog.put_targets(call.region, self._bus(params.get("EventBusName")), params["Rule"], params["Targets"])
        return {"FailedEntryCount": 0, "FailedEntries": []}

    @operation("RemoveTargets")
    async def remove_targets(self, call: Call, params: Params) -> Answer:
        check_number("ids", params["Ids"])
        failed = await self._buses.catalog.remove_targets(call.region, self._bus(params.get("EventBusName")), params["Rule"], params["Ids"])
        return {"FailedEntryCount": len(failed), "FailedEntries": failed}

    @operation("ListTargetsByRule")
    async def list_targets_by_rule(self, call: Call, params: Params) -> Answer:
        bus = self._bus(params.get("EventBusName"))
        targets, token = await self._buses.catalog.targets(call.region, bus, params["Rule"], params.get("Limit"), params.get("NextToken"))
        return page("Targets", targets, token)

    # Tags.

    @operation("TagResource")
    async def tag_resource(self, call: Call, params: Params) -> None:
        await self._buses.catalog.change_tags(call.region, params["ResourceARN"], params["Tags"], ())

    @operation("UntagResource")
    async def untag_resource(self, call: Call, params: Params) -> None:
        await self._buses.catalog.change_tags(call.region, params["ResourceARN"], (), params["TagKeys"])

    @operation("ListTagsForResource")
    async def list_tags_for_resource(self, call: Call, params: Params) -> Answer:
        tags = await self._buses.catalog.tags(call.region, params["ResourceARN"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    # Archives.

    @operation("CreateArchive", refuses=REFUSED_OF_ARCHIVES)
    async def create_archive(self, call: Call, params: Params) -> Answer:
        archive = await self._buses.history.create_archive(call.region, self._bus(params["EventSourceArn"], "eventSourceArn"), params)
        return self._made(archive)

    @operation("UpdateArchive", refuses=REFUSED_OF_ARCHIVES)
    async def update_archive(self, call: Call, params: Params) -> Answer:
        return self._made(await self._buses.history.update_archive(call.region, params["ArchiveName"], params))

    @operation("DeleteArchive")
    async def delete_archive(self, call: Call, params: Params) -> None:
        await self._buses.history.delete_archive(call.region, params["ArchiveName"])

    @operation("DescribeArchive")
    async def describe_archive(self, call: Call, params: Params) -> Answer:
        archive = await self._buses.history.archive(call.region, params["ArchiveName"])
        more = given({"Description": archive.description, "EventPattern": archive.pattern}, "Description", "EventPattern")
        return {**self._archive(archive), **more, "ArchiveArn": self._archive_arn(archive)}

    @operation("ListArchives")
    async def list_archives(self, call: Call, params: Params) -> Answer:
        if sum(bool(params.get(member)) for member in ("NamePrefix", "EventSourceArn", "State")) > 1:
            raise invalid("At most one filter is allowed for ListArchives. Use either : State, EventSourceArn, or NamePrefix.")
        source = params.get("EventSourceArn")
        bus = self._bus(source, "eventSourceArn") if source else None
        if params.get("State") not in (None, "ENABLED"):
            return page("Archives", [], None)  # here an archive is never in another state
        found, token = await self._buses.history.archives(
            call.region, params.get("NamePrefix") or "", bus, params.get("Limit"), params.get("NextToken")
        )
        return page("Archives", [self._archive(archive) for archive in found], token)

    # Replays.

    @operation("StartReplay")
    async def start_replay(self, call: Call, params: Params) -> Answer:
        source, destination = names.parse_arn(params["EventSourceArn"]), params["Destination"]["Arn"]
        if source is None or source.service != "events" or not source.resource.startswith("archive/"):
            raise invalid("Parameter EventSourceArn is not valid. Reason: Must contain an archive ARN.")
        if names.BUS_ARN.fullmatch(destination) is None:
            raise invalid("Parameter Destination.Arn is not valid. Reason: Must contain an event bus ARN.")
        start, end = unix(params["EventStartTime"]), unix(params["EventEndTime"])
        archive, bus = source.resource.removeprefix("archive/"), self._bus(destination)
        replay = await self._buses.history.start_replay(call.region, archive, bus, params, start, end)
        return {"ReplayArn": self._replay_arn(replay), "State": replay.state, "ReplayStartTime": replay.started_at}

    @operation("DescribeReplay")
    async def describe_replay(self, call: Call, params: Params) -> Answer:
        replay = await self._buses.history.replay(call.region, params["ReplayName"])
        destination = {"Arn": self._bus_arn(call, replay.bus), **({"FilterArns": replay.rule_arns} if replay.rule_arns else {})}
        more = given({"Description": replay.description}, "Description")
        return {**self._replay(call, replay), **more, "ReplayArn": self._replay_arn(replay), "Destination": destination}

    @operation("ListReplays")
    async def list_replays(self, call: Call, params: Params) -> Answer:
        if sum(bool(params.get(member)) for member in ("NamePrefix", "EventSourceArn", "State")) > 1:
            raise invalid("At most one filter is allowed for ListReplays. Use either : State, EventSourceArn, or NamePrefix.")
        if params.get("State") not in (None, *REPLAY_STATES):
            raise unlike("state", params["State"], f"satisfy enum value set: [{', '.join(REPLAY_STATES)}]")
        source = params.get("EventSourceArn")
        asked = {"prefix": params.get("NamePrefix"), "state": params.get("State"), "archive": source.rpartition("/")[2] if source else None}
        found, token = await self._buses.history.replays(call.region, asked, params.get("Limit"), params.get("NextToken"))
        return page("Replays", [self._replay(call, replay) for replay in found], token)

    @operation("CancelReplay")
    async def cancel_replay(self, call: Call, params: Params) -> Answer:
        replay = await self._buses.history.cancel_replay(call.region, params["ReplayName"])
        return {"ReplayArn": self._replay_arn(replay), "State": replay.state}

    # Shapes.

    def _bus(self, name_or_arn: str | None, member: str = "eventBusName") -> str:
        return names.bus_name(self._buses.account, name_or_arn, member)

    def _bus_arn(self, call: Call, bus: str) -> str:
        return names.bus_arn(call.region, self._buses.account, bus)

    def _archive_arn(self, archive: Archive) -> str:
        return names.archive_arn(archive.region, self._buses.account, archive.name)

    def _replay_arn(self, replay: Replay) -> str:
        return names.replay_arn(replay.region, self._buses.account, replay.name)

    def _described(self, call: Call, bus: Bus) -> dict[str, Any]:
        members = {"Description": bus.description, "CreationTime": bus.created_at, "LastModifiedTime": bus.modified_at}
        return {"Name": bus.name, "Arn": self._bus_arn(call, bus.name), **given(members, *members)}

    def _rule(self, rule: Rule) -> dict[str, Any]:
        members = {
            "EventPattern": rule.pattern,
            "ScheduleExpression": rule.schedule,
            "Description": rule.description,
            "RoleArn": rule.role,
        }
        return {
            "Name": rule.name,
            "Arn": names.rule_arn(rule.region, self._buses.account, rule.bus, rule.name),
            "State": "ENABLED" if rule.enabled else "DISABLED",
            "EventBusName": rule.bus,
            **given(members, *members),
        }

    def _made(self, archive: Archive) -> dict[str, Any]:
        return {"ArchiveArn": self._archive_arn(archive), "State": "ENABLED", "CreationTime": archive.created_at}

    def _archive(self, archive: Archive) -> dict[str, Any]:
        return {
            "ArchiveName": archive.name,
            "EventSourceArn": names.bus_arn(archive.region, self._buses.account, archive.bus),
            "State": "ENABLED",
            "RetentionDays": archive.retention_days,
            "SizeBytes": archive.bytes,
            "EventCount": archive.events,
            "CreationTime": archive.created_at,
        }

    def _replay(self, call: Call, replay: Replay) -> dict[str, Any]:
        members = {"StateReason": replay.reason, "EventLastReplayedTime": replay.reached_time, "ReplayEndTime": replay.ended_at}
        return {
            "ReplayName": replay.name,
            "EventSourceArn": names.archive_arn(replay.region, self._buses.account, replay.archive),
            "State": replay.state,
            "EventStartTime": replay.start_time,
            "EventEndTime": replay.end_time,
            "ReplayStartTime": replay.started_at,
            **given(members, *members),
        }


def result_of(outcome: PutEvent | ServiceError) -> dict[str, str]:
    if isinstance(outcome, ServiceError):
        return {"ErrorCode": outcome.code, "ErrorMessage": outcome.message}
    return {"EventId": outcome.id}


def given(members: Mapping[str, Any], *wanted: str) -> dict[str, Any]:
    """Those of the members that have a value."""
    return {name: members[name] for name in wanted if members.get(name) is not None}


def page(member: str, found: list[Any], token: str | None) -> dict[str, Any]:
    return {member: found, **({} if token is None else {"NextToken": token})}


def check_number(member: str, found: list[Any]) -> None:
    if not 1 <= len(found) <= MOST_IN_A_REQUEST:
        bound = "greater than or equal to 1" if not found else f"less than or equal to {MOST_IN_A_REQUEST}"
        raise unlike(member, f"[{len(found)} members]", f"have length {bound}")


def unix(time: datetime | float) -> float:
    return time.timestamp() if isinstance(time, datetime) else float(time)
