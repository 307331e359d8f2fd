"""Rules that an application declares: made and changed when it is loaded, and removed when it declares them no longer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from eventflow.errors import ServiceError, SettingError
from eventflow.services.bus.catalog import Catalog
from eventflow.services.bus.records import Rule

#: The tag of rules that an application declares; its value is the application's name. Others' rules are left alone.
OWNER = "eventflow:application"

#: ``PutRule``'s parameters and ``PutTargets``' targets, by bus and name.
Declared = Mapping[tuple[str, str], tuple[Mapping[str, Any], Sequence[Mapping[str, Any]]]]


async def declare_rules(catalog: Catalog, region: str, application: str, declared: Declared) -> None:
    """Have these rules of the application, and no others of it. Raises SettingError for what EventBridge refuses, and a name of others."""
    known = {(rule.bus, rule.name): rule for rule in await all_rules(catalog, region)}
    for (bus, name), rule in known.items():
        if owner(rule) == application and (bus, name) not in declared:
            await set_targets(catalog, region, bus, name, ())
            await catalog.delete_rule(region, bus, name)
    for (bus, name), (params, targets) in declared.items():
        there = known.get((bus, name))
        if there is not None and owner(there) != application:
            raise SettingError(
                f"Rule {name!r} on bus {bus!r} is there already and was not made by {application!r}; delete it, or choose another name."
            )
        try:
            tags = {} if there is not None else {"Tags": [{"Key": OWNER, "Value": application}]}
            await catalog.put_rule(region, bus, {**params, **tags, "Name": name})
            await set_targets(catalog, region, bus, name, targets)
        except ServiceError as error:
            raise SettingError(f"Rule {name!r} on bus {bus!r}: {error.message}") from error


def owner(rule: Rule) -> str | None:
    found: dict[str, str] = json.loads(rule.tags or "{}")
    return found.get(OWNER)


async def all_rules(catalog: Catalog, region: str) -> list[Rule]:
    found: list[Rule] = []
    buses, token = await catalog.buses(region, "", None, None)
    while token is not None:
        more, token = await catalog.buses(region, "", None, token)
        buses += more
    for bus in buses:
        page, after = await catalog.rules(region, bus.name, "", None, None)
        found += page
        while after is not None:
            page, after = await catalog.rules(region, bus.name, "", None, after)
            found += page
    return found


async def set_targets(catalog: Catalog, region: str, bus: str, name: str, targets: Sequence[Mapping[str, Any]]) -> None:
    """The targets are put before those that are no more are removed: no event finds the rule without any."""
    if targets:
        await catalog.put_targets(region, bus, name, targets)
    there, token = await catalog.targets(region, bus, name, None, None)
    while token is not None:
        more, token = await catalog.targets(region, bus, name, None, token)
        there += more
    gone = [str(one["Id"]) for one in there if one["Id"] not in {target["Id"] for target in targets}]
    if gone:
        await catalog.remove_targets(region, bus, name, gone)
