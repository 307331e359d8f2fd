"""Provisioned concurrency: environments of a published version, or of the one that an alias names, that are warm before anybody asks."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from eventflow.dispatch.concurrency import ACCOUNT_LIMIT, ALWAYS_UNRESERVED
from eventflow.errors import ServiceError
from eventflow.function import names_version
from eventflow.services.functions import rows
from eventflow.services.functions.ledger import Ledger, Provision
from eventflow.services.functions.names import conflict, not_found, wrong
from eventflow.services.functions.records import number_of, version_of

LATEST_REFUSED = "Provisioned Concurrency Configs cannot be applied to unpublished function versions."


@dataclass(frozen=True, slots=True)
class Warmth:
    """What was asked for, how many environments are warm, and whether the last init failed. ``modified_at`` in Unix seconds."""

    qualifier: str
    wanted: int
    warm: int
    failed: bool
    modified_at: float

    @property
    def status(self) -> str:
        """AWS's ProvisionedConcurrencyStatusEnum."""
        if self.warm >= self.wanted:
            return "READY"
        return "FAILED" if self.failed else "IN_PROGRESS"


class Provisioned:
    """Each change is on disk when the call returns; the environments start then."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def put(self, name: str, qualifier: str, wanted: int) -> Warmth:
        ledger = self._ledger
        number = self._number(name, qualifier)

        def change(connection: sqlite3.Connection) -> Provision:
            rows.found_version(connection, ledger.place, name, number)
            self._check(name, qualifier, number)
            self._check_room(connection, name, qualifier, wanted)
            provision = Provision(wanted, ledger.clock.now())
            rows.put_provision(connection, name, qualifier, provision.wanted, provision.modified_at)
            return provision

        async def work() -> None:
            ledger.routes[name].provisions[qualifier] = await ledger.write(change)
            await ledger.deploy(name)

        await ledger.alone(name, work)
        return self.find(name, qualifier)

    async def delete(self, name: str, qualifier: str) -> None:
        """One that is not there is no error, as on Lambda."""
        ledger = self._ledger
        self._number(name, qualifier)

        async def work() -> None:
            await ledger.write(lambda connection: rows.delete_provision(connection, name, qualifier))
            ledger.routes[name].provisions.pop(qualifier, None)
            await ledger.deploy(name)

        await ledger.alone(name, work)

    def find(self, name: str, qualifier: str) -> Warmth:
        number = self._number(name, qualifier)
        provision = self._ledger.routes[name].provisions.get(qualifier)
        if provision is None:
            text = "No Provisioned Concurrency Config found for this function"
            raise ServiceError("ProvisionedConcurrencyConfigNotFoundException", text, 404, Type="User")
        warm, failed = self._ledger.deployments.warm(f"{name}:{version_of(number)}")
        return Warmth(qualifier, provision.wanted, min(warm, provision.wanted), failed, provision.modified_at)

    def all(self, name: str) -> list[Warmth]:
        """By qualifier."""
        routes = self._ledger.routes.get(name)
        return [] if routes is None else [self.find(name, qualifier) for qualifier in sorted(routes.provisions)]

    def _number(self, name: str, qualifier: str) -> int:
        """The version that a qualifier stands for. Raises ServiceError for ``$LATEST`` and for what is not there."""
        ledger = self._ledger
        ledger.check_changeable(name)
        if qualifier == "$LATEST":
            raise wrong(LATEST_REFUSED)
        routes = ledger.routes[name]
        if names_version(qualifier):
            if number_of(qualifier) not in routes.numbers:
                raise not_found(f"Function not found: {ledger.place.function_arn(name, qualifier)}")
            return number_of(qualifier)
        if qualifier not in routes.aliases:
            raise not_found(f"Cannot find alias arn: {ledger.place.function_arn(name, qualifier)}")
        alias = routes.aliases[qualifier]
        if alias.other is not None:
            raise wrong("eventflow keeps the environments of one version warm: take the alias' RoutingConfig away, or name the versions.")
        return alias.number

    def _check(self, name: str, qualifier: str, number: int) -> None:
        if number == 0:
            raise wrong(LATEST_REFUSED)
        routes = self._ledger.routes[name]
        for other in routes.provisions:
            if other != qualifier and self._number(name, other) == number:
                if names_version(qualifier):
                    raise conflict("Version is pointed to by a Provisioned Concurrency alias")
                raise conflict("Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version")

    def _check_room(self, connection: sqlite3.Connection, name: str, qualifier: str, wanted: int) -> None:
        """What is provisioned is of what the function has reserved, or else of what the account has."""
        ledger = self._ledger
        shared = rows.found_shared(connection, ledger.place, name)
        provisions = ledger.routes[name].provisions
        total = wanted + sum(one.wanted for other, one in provisions.items() if other != qualifier)
        if shared.reserved_concurrency is not None:
            if total > shared.reserved_concurrency:
                raise wrong("Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function")
            return
        declared = sum(function.reserved_concurrency or 0 for function in ledger.declared().values())
        others: int = connection.execute(rows.RESERVED, (name,)).fetchone()[0]
        others += sum(one.wanted for other, routes in ledger.routes.items() if other != name for one in routes.provisions.values())
        if declared + others + total > ACCOUNT_LIMIT - ALWAYS_UNRESERVED:
            raise wrong(
                "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value "
                f"of [{ALWAYS_UNRESERVED}]."
            )
