"""Schedules that an application declares: made and changed when it is loaded, and removed when it declares them no longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.errors import ServiceError, SettingError
from eventflow.services.schedules.catalog import DEFAULT, Schedule
from eventflow.services.schedules.store import Schedules

#: What an application's schedules have in the place of a ClientToken, which has no colons: others' schedules are left alone.
OWNER = "eventflow:application:"

#: ``CreateSchedule``'s parameters by the schedule's name.
Declared = Mapping[str, Mapping[str, Any]]


async def declare_schedules(schedules: Schedules, region: str, application: str, declared: Declared) -> None:
    """Have these schedules of the application in the group ``default``, and no others of it. One that says what it said goes on as it is. Raises
    SettingError for what Scheduler refuses, and for a name of others."""
    mine = f"{OWNER}{application}"
    known = {one.name: one for one in await all_schedules(schedules, region)}
    for name, one in known.items():
        if one.token == mine and name not in declared:
            await schedules.delete(region, DEFAULT, name, None)
    for name, params in declared.items():
        there = known.get(name)
        if there is not None and there.token != mine:
            raise SettingError(f"Schedule {name!r} is there already and was not made by {application!r}; delete it, or choose another name.")
        try:
            if there is None:
                await schedules.create(region, DEFAULT, name, params, mine)
            else:
                await schedules.update(region, DEFAULT, name, params)
        except ServiceError as error:
            raise SettingError(f"Schedule {name!r}: {error.message}") from error


async def all_schedules(schedules: Schedules, region: str) -> list[Schedule]:
    found, token = await schedules.page(region, DEFAULT, "", None, None, None)
    while token is not None:
        more, token = await schedules.page(region, DEFAULT, "", None, None, token)
        found += more
    return found
