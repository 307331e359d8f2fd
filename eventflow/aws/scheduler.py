"""EventBridge Scheduler's API: schedules and their groups, mapped to the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.aws.constraints import check
from eventflow.aws.operation import Call, operation, operations_of
from eventflow.aws.wire import Wires
from eventflow.services.schedules import Schedules
from eventflow.services.schedules.catalog import DEFAULT, Group, Schedule, group_arn, schedule_arn

Params = dict[str, Any]
Answer = Mapping[str, Any]


class SchedulerService:
    """The schedules of the call's region. A role is accepted and has no effect: there are no permissions to take on."""

    name = "scheduler"

    def __init__(self, schedules: Schedules) -> None:
        self.operations = operations_of(self)
        self._schedules = schedules
        self._model = Wires().of("scheduler").model

    @operation("CreateSchedule")
    async def create_schedule(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        return {"ScheduleArn": await self._schedules.create(call.region, group_of(params), params["Name"], params, params.get("ClientToken"))}

    @operation("UpdateSchedule")
    async def update_schedule(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        return {"ScheduleArn": await self._schedules.update(call.region, group_of(params), params["Name"], params)}

    @operation("GetSchedule")
    async def get_schedule(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        found = await self._schedules.find(call.region, group_of(params), params["Name"])
        return {**self._summary(found), **found.definition.told()}

    @operation("DeleteSchedule")
    async def delete_schedule(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        await self._schedules.delete(call.region, group_of(params), params["Name"], params.get("ClientToken"))
        return {}

    @operation("ListSchedules")
    async def list_schedules(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        state = params.get("State")
        enabled = None if state is None else state == "ENABLED"
        found, token = await self._schedules.page(
            call.region, params.get("GroupName"), params.get("NamePrefix") or "", enabled, params.get("MaxResults"), params.get("NextToken")
        )
        return paged("Schedules", [self._summary(schedule) for schedule in found], token)

    @operation("CreateScheduleGroup")
    async def create_schedule_group(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        tags = tags_of(params)
        return {"ScheduleGroupArn": await self._schedules.create_group(call.region, params["Name"], tags, params.get("ClientToken"))}

    @operation("GetScheduleGroup")
    async def get_schedule_group(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        return self._group(call, await self._schedules.find_group(call.region, params["Name"]))

    @operation("DeleteScheduleGroup")
    async def delete_schedule_group(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        await self._schedules.delete_group(call.region, params["Name"], params.get("ClientToken"))
        return {}

    @operation("ListScheduleGroups")
    async def list_schedule_groups(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        found, token = await self._schedules.groups(call.region, params.get("NamePrefix") or "", params.get("MaxResults"), params.get("NextToken"))
        return paged("ScheduleGroups", [self._group(call, group) for group in found], token)

    @operation("TagResource")
    async def tag_resource(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        await self._schedules.change_tags(*tagged(params), tags_of(params), ())
        return {}

    @operation("UntagResource")
    async def untag_resource(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        await self._schedules.change_tags(*tagged(params), {}, params["TagKeys"])
        return {}

    @operation("ListTagsForResource")
    async def list_tags_for_resource(self, call: Call, params: Params) -> Answer:
        self._check(call, params)
        group = await self._schedules.find_group(*tagged(params))
        return {"Tags": [{"Key": key, "Value": value} for key, value in (group.tags or {}).items()]}

    def _check(self, call: Call, params: Params) -> None:
        check(self._model.operation_model(call.operation).input_shape, params)

    def _summary(self, schedule: Schedule) -> dict[str, Any]:
        return {
            "Arn": schedule_arn(schedule.region, self._schedules.account, schedule.group, schedule.name),
            "Name": schedule.name,
            "GroupName": schedule.group,
            "State": "ENABLED" if schedule.definition.enabled else "DISABLED",
            "CreationDate": schedule.created_at,
            "LastModificationDate": schedule.modified_at,
            "Target": {"Arn": schedule.definition.target["Arn"]},
        }

    def _group(self, call: Call, group: Group) -> Answer:
        dates = {"CreationDate": group.created_at, "LastModificationDate": group.modified_at}
        known = {name: date for name, date in dates.items() if date is not None}
        return {"Arn": group_arn(call.region, self._schedules.account, group.name), "Name": group.name, "State": "ACTIVE", **known}


def group_of(params: Params) -> str:
    return params.get("GroupName") or DEFAULT


def tags_of(params: Params) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in params.get("Tags") or ()}


def tagged(params: Params) -> tuple[str, str]:
    """The region and the name of the group that an ARN means."""
    parts = params["ResourceArn"].split(":", 5)
    return parts[3], parts[5].partition("/")[2]


def paged(member: str, found: list[Answer], token: str | None) -> Answer:
    return {member: found, **({"NextToken": token} if token else {})}
