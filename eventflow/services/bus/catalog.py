"""Buses, rules, targets and tags: made, changed, listed and deleted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from eventflow.errors import ServiceError, SettingError
from eventflow.services.bus import records, rules, tags
from eventflow.services.bus.errors import already_exists, invalid, refuse_members
from eventflow.services.bus.names import BUS_NAME, DEFAULT, check_name
from eventflow.services.bus.records import Bus, Rule
from eventflow.services.bus.shelf import Shelf
from eventflow.services.bus.targets import read_target

#: Parameters of buses that there are none of here.
REFUSED_OF_BUSES = ("EventSourceName", "KmsKeyIdentifier", "DeadLetterConfig")


class Catalog(Shelf):
    """What there is. Every method that changes something returns once that is on disk."""

    # Buses.

    async def ensure(self, region: str, name: str) -> None:
        """Declare a bus: it is made if it is not there."""
        try:
            check_name("name", name, 256, BUS_NAME)
            await self._change(lambda connection: self._ensure(connection, region, name))
        except ServiceError as error:
            raise SettingError(f"Bus {name!r}: {error.message}") from error

    def _ensure(self, connection: sqlite3.Connection, region: str, name: str) -> None:
        if records.look_up(connection, region, name) is None:
            records.insert_bus(connection, region, name, None, "{}", self._clock.now())

    async def create_bus(self, region: str, params: Mapping[str, Any]) -> None:
        check_bus(params)
        name, given = params["Name"], json.dumps(tags.checked_tags(params.get("Tags")))

        def change(connection: sqlite3.Connection) -> None:
            if records.look_up(connection, region, name) is not None:
                raise already_exists(f"Event bus {name} already exists.")
            records.insert_bus(connection, region, name, params.get("Description"), given, self._clock.now())

        check_name("name", name, 256, BUS_NAME)
        if "/" in name:
            raise invalid(f"Event bus name {name} is not valid: / is for partners' buses.")
        await self._change(change)

    async def update_bus(self, region: str, name: str, params: Mapping[str, Any]) -> Bus:
        check_bus(params)

        def change(connection: sqlite3.Connection) -> Bus:
            now = self._clock.now()
            id = records.bus_id(connection, records.find_bus(connection, region, name), now)
            connection.execute("UPDATE bus_buses SET description = ?, modified_at = ? WHERE id = ?", (params.get("Description"), now, id))
            return records.find_bus(connection, region, name)

        return await self._change(change)

    async def delete_bus(self, region: str, name: str) -> None:
        def change(connection: sqlite3.Connection) -> None:
            bus = records.look_up(connection, region, name)
            if bus is None:
                return
            if records.rules(connection, bus, "", "", 1):
                raise invalid(f"Event bus {name} can't be deleted since it has rules.")
            connection.execute("DELETE FROM bus_buses WHERE id = ?", (bus.id,))

        if name == DEFAULT:
            raise invalid("Cannot delete event bus default.")
        await self._change(change)

    async def bus(self, region: str, name: str) -> Bus:
        return await self._read(lambda connection: records.find_bus(connection, region, name))

    async def buses(self, region: str, prefix: str, limit: int | None, token: str | None) -> tuple[list[Bus], str | None]:
        return await self._page(partial(records.buses, region=region, prefix=prefix), lambda bus: bus.name, limit, token)

    # Rules.

    async def put_rule(self, region: str, bus: str, params: Mapping[str, Any]) -> None:
        rules.check_rule(params, bus)
        await self._change(lambda connection: rules.put(connection, region, bus, params, self._clock.now()))
        self._wake()

    async def delete_rule(self, region: str, bus: str, name: str) -> None:
        await self._change(lambda connection: rules.delete(connection, region, bus, name))

    async def rule(self, region: str, bus: str, name: str) -> Rule:
        return await self._read(lambda connection: records.find_rule(connection, region, bus, name))

    async def enable_rule(self, region: str, bus: str, name: str, *, enabled: bool) -> None:
        def change(connection: sqlite3.Connection) -> None:
            rules.set_enabled(connection, records.find_rule(connection, region, bus, name), enabled, self._clock.now())

        await self._change(change)
        self._wake()

    async def rules(self, region: str, bus: str, prefix: str, limit: int | None, token: str | None) -> tuple[list[Rule], str | None]:
        def query(connection: sqlite3.Connection, *, after: str, limit: int) -> list[Rule]:
            return records.rules(connection, records.find_bus(connection, region, bus), prefix, after, limit)

        return await self._page(query, lambda rule: rule.name, limit, token)

    async def rule_names_by_target(
        self, region: str, bus: str, target_arn: str, limit: int | None, token: str | None
    ) -> tuple[list[str], str | None]:
        def query(connection: sqlite3.Connection, *, after: str, limit: int) -> list[str]:
            return records.rule_names_by_target(connection, records.find_bus(connection, region, bus), target_arn, after, limit)

        return await self._page(query, str, limit, token)

    async def put_targets(self, region: str, bus: str, name: str, given: Sequence[Mapping[str, Any]]) -> None:
        targets = [read_target(target, self._account) for target in given]
        if len({target.id for target in targets}) < len(targets):
            raise invalid("Two targets of the request have the same Id.")

        def change(connection: sqlite3.Connection) -> None:
            rules.put_targets(connection, records.find_rule(connection, region, bus, name), targets)

        await self._change(change)

    async def remove_targets(self, region: str, bus: str, name: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        def change(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            return rules.remove_targets(connection, records.find_rule(connection, region, bus, name), ids)

        return await self._change(change)

    async def targets(self, region: str, bus: str, name: str, limit: int | None, token: str | None) -> tuple[list[dict[str, Any]], str | None]:
        def query(connection: sqlite3.Connection, *, after: str, limit: int) -> list[dict[str, Any]]:
            return list(records.targets(connection, records.find_rule(connection, region, bus, name).id, after, limit))

        return await self._page(query, lambda target: str(target["Id"]), limit, token)

    # Tags.

    async def tags(self, region: str, arn: str) -> dict[str, str]:
        return await self._read(lambda connection: tags.read(connection, region, arn))

    async def change_tags(self, region: str, arn: str, added: Sequence[Mapping[str, str]], removed: Sequence[str]) -> None:
        checked = tags.checked_tags(added)
        await self._change(lambda connection: tags.change(connection, region, arn, checked, removed, self._clock.now()))


def check_bus(params: Mapping[str, Any]) -> None:
    refuse_members(params, REFUSED_OF_BUSES, "the parameter ")
    if (params.get("LogConfig") or {}).get("Level") not in (None, "OFF"):
        refuse_members(params, ("LogConfig",), "the parameter ")
    rules.check_description(params.get("Description"))
