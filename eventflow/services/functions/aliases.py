"""Aliases: names for versions, and the share of the invocations that another version gets."""

from __future__ import annotations

import random
import re
import sqlite3
from collections.abc import Callable, Mapping

from eventflow.services.functions import rows
from eventflow.services.functions.ledger import Ledger
from eventflow.services.functions.names import conflict, invalid, not_found, wrong
from eventflow.services.functions.records import NEWEST, Alias, number_of
from eventflow.services.functions.revisions import check_revision

NAME = re.compile(r"(?![0-9]+$)[a-zA-Z0-9-_]{1,128}", re.ASCII)


class Aliases:
    """The aliases of functions; all of them are in memory, because invocations go by them. ``chance`` is a number from 0 up to 1."""

    def __init__(self, ledger: Ledger, chance: Callable[[], float] | None = None) -> None:
        self._ledger = ledger
        self._chance = chance or random.SystemRandom().random

    def find(self, name: str, alias: str) -> Alias:
        routes = self._ledger.routes.get(name)
        if routes is None or alias not in routes.aliases:
            raise not_found(f"Cannot find alias arn: {self._ledger.place.function_arn(name, alias)}")
        return routes.aliases[alias]

    def choose(self, name: str, alias: str) -> int:
        """The version that this invocation goes to."""
        routes = self._ledger.routes[name]
        if alias not in routes.aliases:
            raise not_found(f"Function not found: {self._ledger.place.function_arn(name, alias)}")
        found = routes.aliases[alias]
        return found.number if found.other is None or self._chance() >= found.weight else found.other

    async def create(self, name: str, alias: str, version: str, description: str, weights: Mapping[str, float]) -> Alias:
        ledger = self._ledger
        ledger.check_changeable(name)
        if not NAME.fullmatch(alias):
            raise invalid(alias, "name", "satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)")

        async def work() -> Alias:
            if alias in ledger.routes[name].aliases:
                raise conflict(f"Alias already exists: {ledger.place.function_arn(name, alias)}")
            other, weight = routing(version, weights)
            return await self._put(Alias(name, alias, number_of(version), description, other, weight, ledger.clock.new_id()))

        return await ledger.alone(name, work)

    async def update(
        self,
        name: str,
        alias: str,
        *,
        version: str | None = None,
        description: str | None = None,
        weights: Mapping[str, float] | None = None,
        revision: str | None = None,
    ) -> Alias:
        """What is None stays as it is; empty ``weights`` send everything to the alias's version."""
        ledger = self._ledger
        ledger.check_changeable(name)

        async def work() -> Alias:
            former = self.find(name, alias)
            check_revision(revision, former.revision, "Alias")
            number = former.number if version is None else number_of(version)
            other, weight = (former.other, former.weight) if weights is None else routing(version or str(number), weights)
            text = former.description if description is None else description
            return await self._put(Alias(name, alias, number, text, other, weight, ledger.clock.new_id()))

        return await ledger.alone(name, work)

    async def _put(self, alias: Alias) -> Alias:
        ledger = self._ledger

        def change(connection: sqlite3.Connection) -> None:
            for number in {alias.number, alias.number if alias.other is None else alias.other}:
                rows.found_version(connection, ledger.place, alias.function, number)
            rows.put_alias(connection, alias)

        if alias.other is not None and NEWEST in (alias.number, alias.other):
            raise wrong("$LATEST is not supported for an alias pointing to more than 1 version")
        if alias.name in ledger.routes[alias.function].provisions and (alias.other is not None or alias.number == NEWEST):
            raise conflict(f"The alias {alias.name} has provisioned concurrency, which is for one published version: delete that first.")
        if alias.other == alias.number:
            raise wrong(f"Invalid function version {alias.number}. Function version {alias.number} is already included in routing configuration.")
        await ledger.write(change)
        routes = ledger.routes[alias.function]
        routes.aliases[alias.name] = alias
        if alias.name in routes.provisions:  # other environments are to be warm from now on
            await ledger.deploy(alias.function)
        return alias

    async def delete(self, name: str, alias: str) -> None:
        """Delete an alias, with the function URL and the settings that it has; one that is not there is no error, as on Lambda."""
        ledger = self._ledger
        ledger.check_changeable(name)

        async def work() -> None:
            await ledger.write(lambda connection: rows.delete_alias(connection, name, alias))
            routes = ledger.routes[name]
            was_warm = routes.provisions.pop(alias, None)
            routes.aliases.pop(alias, None)
            await ledger.deploy(name, None if was_warm else [])

        await ledger.alone(name, work)

    def page(self, name: str, version: str | None, marker: str | None, limit: int) -> tuple[list[Alias], str | None]:
        """The aliases of a function, or those that name a version, by name; and the marker of the next page."""
        routes = self._ledger.routes.get(name)
        aliases = sorted(routes.aliases.values(), key=lambda alias: alias.name) if routes is not None else []
        found = [alias for alias in aliases if (version is None or number_of(version) == alias.number) and alias.name >= (marker or "")]
        return found[:limit], found[limit].name if len(found) > limit else None


def routing(version: str, weights: Mapping[str, float]) -> tuple[int | None, float]:
    """The other version and its weight. Lambda takes one at most."""
    if not weights:
        return None, 0.0
    if len(weights) > 1:
        raise wrong("Number of items in AdditionalVersionWeights cannot be greater than 1")
    ((other, weight),) = weights.items()
    if not other.isdecimal() or len(other) > 18:
        raise wrong(f"Invalid function version {other}. The version in AdditionalVersionWeights must be a published version.")
    if not 0.0 <= weight <= 1.0:
        raise invalid(str(weight), "routingConfig.additionalVersionWeights", "have value between 0.0 and 1.0")
    return number_of(other), weight
