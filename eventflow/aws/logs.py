"""CloudWatch Logs, as far as log groups are targets of EventBridge's rules: made, read and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.operation import Call, operation, operations_of
from eventflow.errors import ServiceError
from eventflow.services.log_groups import LogEvent, LogGroup, LogGroups, Place

Params = dict[str, Any]
Answer = Mapping[str, Any]
REFUSED_OF_GROUPS = ("kmsKeyId", "tags", "logGroupClass", "deletionProtectionEnabled")
REFUSED_OF_LISTS = ("accountIdentifiers", "includeLinkedAccounts", "logGroupClass", "logGroupIdentifiers", "logGroupNamePattern")
REFUSED_OF_STREAMS = ("logGroupIdentifier", "orderBy", "descending")
REFUSED_OF_READS = ("logGroupIdentifier", "unmask", "startFromHead=false")
REFUSED_OF_FILTERS = ("logGroupIdentifier", "unmask", "filterPattern", "logStreamNamePrefix", "more than one of logStreamNames")
LARGEST_PAGE = 50
START: Place = (-(1 << 62), 0)


class LogsService:
    """The log groups of the call's region. Functions' own logs are read with ``eventflow logs``."""

    name = "logs"

    def __init__(self, groups: LogGroups, account: str) -> None:
        self.operations = operations_of(self)
        self._groups = groups
        self._account = account

    @operation("CreateLogGroup", refuses=REFUSED_OF_GROUPS)
    async def create_log_group(self, call: Call, params: Params) -> None:
        refuse(params, REFUSED_OF_GROUPS)
        await self._groups.create(call.region, params["logGroupName"])

    @operation("DeleteLogGroup")
    async def delete_log_group(self, call: Call, params: Params) -> None:
        await self._groups.delete(call.region, params["logGroupName"])

    @operation("DescribeLogGroups", refuses=REFUSED_OF_LISTS)
    async def describe_log_groups(self, call: Call, params: Params) -> Answer:
        refuse(params, REFUSED_OF_LISTS)
        limit = params.get("limit") or LARGEST_PAGE
        found = await self._groups.listed(call.region, params.get("logGroupNamePrefix") or "", params.get("nextToken") or "", limit + 1)
        more = {"nextToken": found[limit - 1].name} if len(found) > limit else {}
        return {"logGroups": [self._described(group) for group in found[:limit]], **more}

    @operation("PutRetentionPolicy")
    async def put_retention_policy(self, call: Call, params: Params) -> None:
        await self._groups.set_retention(call.region, params["logGroupName"], params["retentionInDays"])

    @operation("DeleteRetentionPolicy")
    async def delete_retention_policy(self, call: Call, params: Params) -> None:
        await self._groups.set_retention(call.region, params["logGroupName"], None)

    @operation("DescribeLogStreams", refuses=REFUSED_OF_STREAMS)
    async def describe_log_streams(self, call: Call, params: Params) -> Answer:
        refuse(params, REFUSED_OF_STREAMS)
        name, limit = required(params, "logGroupName"), params.get("limit") or LARGEST_PAGE
        prefix, after = params.get("logStreamNamePrefix") or "", params.get("nextToken") or ""
        found = await self._groups.streams(call.region, name, prefix, after, limit + 1)
        members = ("logStreamName", "firstEventTimestamp", "lastEventTimestamp", "lastIngestionTime")
        more = {"nextToken": found[limit - 1][0]} if len(found) > limit else {}
        return {"logStreams": [dict(zip(members, stream, strict=True)) for stream in found[:limit]], **more}

    @operation("GetLogEvents", refuses=REFUSED_OF_READS)
    async def get_log_events(self, call: Call, params: Params) -> Answer:
        refuse(params, ("logGroupIdentifier", "unmask"))
        if not params.get("startFromHead"):
            raise ServiceError("NotImplemented", "GetLogEvents reads from the oldest event on here: pass startFromHead=True.", 501)
        after = place_of(params.get("nextToken"))
        events, _more = await self._groups.read(
            call.region,
            required(params, "logGroupName"),
            after,
            stream=params["logStreamName"],
            start=params.get("startTime") or 0,
            end=params.get("endTime"),
            limit=params.get("limit"),
        )
        token = token_of((events[-1].time, events[-1].id) if events else after)
        told = [{"timestamp": event.time, "message": event.message, "ingestionTime": event.ingested_at} for event in events]
        return {"events": told, "nextForwardToken": token}

    @operation("FilterLogEvents", refuses=REFUSED_OF_FILTERS)
    async def filter_log_events(self, call: Call, params: Params) -> Answer:
        refuse(params, REFUSED_OF_FILTERS[:-1])
        streams = params.get("logStreamNames") or [None]
        if len(streams) > 1:
            raise ServiceError("NotImplemented", "FilterLogEvents takes one of logStreamNames here, or none for all.", 501)
        events, more = await self._groups.read(
            call.region,
            required(params, "logGroupName"),
            place_of(params.get("nextToken")),
            stream=streams[0],
            start=params.get("startTime") or 0,
            end=None if params.get("endTime") is None else params["endTime"] + 1,  # inclusive here, and not in GetLogEvents
            limit=params.get("limit"),
        )
        return {"events": list(map(filtered, events)), **({"nextToken": token_of((events[-1].time, events[-1].id))} if more else {})}

    def _described(self, group: LogGroup) -> dict[str, Any]:
        arn = f"arn:aws:logs:{group.region}:{self._account}:log-group:{group.name}"
        described = {"logGroupName": group.name, "creationTime": group.created_at, "arn": f"{arn}:*", "logGroupArn": arn, "storedBytes": group.bytes}
        return described if group.retention_days is None else {**described, "retentionInDays": group.retention_days}


def filtered(event: LogEvent) -> dict[str, Any]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.time,
        "message": event.message,
        "ingestionTime": event.ingested_at,
        "eventId": str(event.id),
    }


def refuse(params: Params, members: tuple[str, ...]) -> None:
    for member in members:
        if params.get(member):
            raise ServiceError("NotImplemented", f"eventflow does not have the parameter {member} of CloudWatch Logs; leave it out.", 501)


def required(params: Params, member: str) -> str:
    if not params.get(member):
        raise ServiceError("InvalidParameterException", f"{member} is required.")
    return str(params[member])


def token_of(place: Place) -> str:
    return f"f/{place[0]}/{place[1]}"


def place_of(token: str | None) -> Place:
    if token is None:
        return START
    try:
        _kind, time, id = token.split("/")
        return int(time), int(id)
    except ValueError as error:
        raise ServiceError("InvalidParameterException", "The specified nextToken is invalid.") from error
