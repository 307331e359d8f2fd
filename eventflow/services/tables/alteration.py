"""UpdateTable's parameters: what is checked, and the definition that they make of a table's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.tables.constraints import Constraints
from eventflow.services.tables.creation import (
    MOST_GLOBAL,
    check_attribute,
    check_index,
    check_throughput,
    index_from,
    refuse_idle_attributes,
    refuse_unsupported,
    refuse_wide,
    table_throughput,
    within_bounds,
)
from eventflow.services.tables.definition import GLOBAL, SCOPES, at_rest, not_built

Definition = dict[str, Any]

#: Members of UpdateTable alone that promise something that is not done here.
UNSUPPORTED = {
    "ReplicaUpdates": "replicas: leave it out",
    "MultiRegionConsistency": "global tables: leave it out",
    "GlobalTableWitnessUpdates": "global tables: leave it out",
    "DisassociationProtectionEnabled": "global tables: leave it out",
    "VectorIndexUpdates": "vector indexes: leave it out",
}
CHANGES = ("ProvisionedThroughput", "BillingMode", "StreamSpecification", "SSESpecification", "TableClass", "DeletionProtectionEnabled")
NOTHING = (
    "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates "
    "is required"
)
ONE_AT_A_TIME = "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"
WHICH = "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null"
ACTIONS = ("Update", "Create", "Delete")


class Alteration:
    """An UpdateTable that its own request says nothing against."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        for member, instead in UNSUPPORTED.items():
            if params.get(member) not in (None, [], False):
                raise invalid(f"{member} is not supported: eventflow has no {instead}.")
        refuse_unsupported(params, "")
        self._params = params
        self._updates: list[Mapping[str, Any]] = params.get("GlobalSecondaryIndexUpdates") or []
        self._refuse_malformed()
        if not self._updates and all(params.get(member) is None for member in CHANGES):
            raise invalid(NOTHING)
        if params.get("BillingMode") == "PROVISIONED" and params.get("ProvisionedThroughput") is None:
            raise invalid_parameters("ProvisionedThroughput must be specified when BillingMode is PROVISIONED")
        self._refuse_updates()

    def _refuse_malformed(self) -> None:
        constraints = Constraints(self._params).choices("BillingMode", "TableClass")
        for position, attribute in enumerate(self._params.get("AttributeDefinitions") or (), 1):
            check_attribute(constraints, attribute, f"attributeDefinitions.{position}.member")
        check_throughput(constraints, self._params.get("ProvisionedThroughput"), "provisionedThroughput")
        for position, update in enumerate(self._updates, 1):
            place = f"globalSecondaryIndexUpdates.{position}.member"
            for action in ACTIONS:
                if update.get(action) is not None:
                    _check_update(constraints, action, update[action], f"{place}.{action.lower()}")
        constraints.refuse()

    def _refuse_updates(self) -> None:
        names: set[str] = set()
        for update in self._updates:
            found = [update[action] for action in ACTIONS if update.get(action) is not None]
            if len(found) != 1:
                raise invalid_parameters(WHICH if not found else WHICH.replace("must not be null", "must be given, and no more than one"))
            name = found[0]["IndexName"]
            if name in names:
                raise invalid_parameters(f"Only one global secondary index update per index is allowed simultaneously. Index: {name}")
            names.add(name)
        if sum("Update" not in update for update in self._updates) > 1:
            raise ServiceError("LimitExceededException", ONE_AT_A_TIME)

    def apply(self, name: str, definition: Mapping[str, Any], now: float) -> Definition:
        """The definition that the table called ``name`` has from now on (Unix seconds)."""
        refuse_busy(name, definition)
        found: Definition = {**definition, GLOBAL: [dict(index) for index in definition.get(GLOBAL, ())]}
        self._set_plain(found)
        self._set_throughput(found, now)
        self._change_indexes(found, now)
        if not found[GLOBAL]:
            del found[GLOBAL]
        return found

    def _set_plain(self, found: Definition) -> None:
        for member in ("TableClass", "DeletionProtectionEnabled"):
            if self._params.get(member) is not None:
                found[member] = self._params[member]

    def _set_throughput(self, found: Definition, now: float) -> None:
        billing, throughput = self._params.get("BillingMode") or found["BillingMode"], self._params.get("ProvisionedThroughput")
        switched = billing != found["BillingMode"]
        if throughput is not None or switched:
            wanted = table_throughput(billing, throughput)
            if not switched:
                _refuse_same(found["ProvisionedThroughput"], wanted)
            found["ProvisionedThroughput"] = _moved(found["ProvisionedThroughput"], wanted, now)
        if not switched:
            return
        found["BillingMode"] = billing
        if billing == "PAY_PER_REQUEST":
            found["LastUpdateToPayPerRequestDateTime"] = now
            for index in found[GLOBAL]:
                index["ProvisionedThroughput"] = table_throughput(billing, None)
        else:
            self._refuse_unprovisioned(found)

    def _refuse_unprovisioned(self, found: Definition) -> None:
        given = {update["Update"]["IndexName"] for update in self._updates if update.get("Update")}
        missing = [index["IndexName"] for index in found[GLOBAL] if index["IndexName"] not in given]
        if missing:
            raise invalid_parameters(f"ProvisionedThroughput must be specified for index: {','.join(missing)}")

    def _change_indexes(self, found: Definition, now: float) -> None:
        indexes = {index["IndexName"]: index for index in found[GLOBAL]}
        for update in self._updates:
            if update.get("Create") is not None:
                self._create(found, update["Create"])
            elif update.get("Update") is not None:
                _provision(found, _existing(indexes, update["Update"]), update["Update"]["ProvisionedThroughput"], now)
            else:
                _existing(indexes, update["Delete"])["Deleting"] = True

    def _create(self, found: Definition, wanted: Mapping[str, Any]) -> None:
        taken = [index["IndexName"] for scope in SCOPES for index in found.get(scope, ())]
        if wanted["IndexName"] in taken:
            raise invalid_parameters(f"Duplicate index name: {wanted['IndexName']}")
        if len(found[GLOBAL]) >= MOST_GLOBAL:
            raise invalid_parameters(f"GlobalSecondaryIndex count exceeds the per-table limit of {MOST_GLOBAL}")
        attributes = self._attributes(found)
        index = index_from(wanted, GLOBAL, found["KeySchema"][0]["AttributeName"], list(attributes), found["BillingMode"])
        found[GLOBAL] = [*found[GLOBAL], {**index, "Built": not_built()}]
        refuse_wide([each["Projection"] for scope in SCOPES for each in found.get(scope, ())])
        refuse_idle_attributes(found["KeySchema"], {scope: found.get(scope, []) for scope in SCOPES}, list(attributes))
        found["AttributeDefinitions"] = [{"AttributeName": name, "AttributeType": kind} for name, kind in attributes.items()]

    def _attributes(self, found: Definition) -> dict[str, str]:
        """The types of the attributes that there are and of those that are defined now."""
        types = {attribute["AttributeName"]: attribute["AttributeType"] for attribute in found["AttributeDefinitions"]}
        for attribute in self._params.get("AttributeDefinitions") or ():
            name, kind = attribute["AttributeName"], attribute["AttributeType"]
            if types.setdefault(name, kind) != kind:
                raise invalid_parameters(f"Attribute {name} is a key of type {types[name]} already, and cannot be one of type {kind}")
        return types


def refuse_busy(name: str, definition: Mapping[str, Any]) -> None:
    """A table one of whose indexes comes or goes cannot be changed or deleted."""
    if not at_rest(definition):
        raise ServiceError("ResourceInUseException", f"Attempt to change a resource which is still in use: Table is being updated: {name}")


def _check_update(constraints: Constraints, action: str, update: Mapping[str, Any], place: str) -> None:
    if action == "Create":
        check_index(constraints, update, place)
        return
    name = update.get("IndexName")
    if name is None:
        constraints.problem(None, f"{place}.indexName", "not be null")
    else:
        constraints.name(name, f"{place}.indexName", 3)
    if action == "Update":
        if update.get("ProvisionedThroughput") is None:
            constraints.problem(None, f"{place}.provisionedThroughput", "not be null")
        check_throughput(constraints, update.get("ProvisionedThroughput"), f"{place}.provisionedThroughput")


def _existing(indexes: Mapping[str, Definition], update: Mapping[str, Any]) -> Definition:
    found = indexes.get(update["IndexName"])
    if found is None:
        raise ServiceError("ResourceNotFoundException", f"Requested resource not found: Index: {update['IndexName']} not found")
    return found


def _provision(found: Definition, index: Definition, throughput: Mapping[str, Any], now: float) -> None:
    if found["BillingMode"] == "PAY_PER_REQUEST":
        raise invalid_parameters("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
    wanted = within_bounds(throughput)
    _refuse_same(index["ProvisionedThroughput"], wanted)
    index["ProvisionedThroughput"] = _moved(index["ProvisionedThroughput"], wanted, now)


def _refuse_same(current: Mapping[str, Any], wanted: Mapping[str, int]) -> None:
    if all(current[member] == units for member, units in wanted.items()):
        parts = " ".join(
            f"Current {member} provisioned for the table: {current[member]}. Requested {member}: {units}." for member, units in sorted(wanted.items())
        )
        raise invalid(
            f"The provisioned throughput for the table will not change. The requested value equals the current value. {parts} "
            "Refer to the Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
        )


def _moved(current: Mapping[str, Any], wanted: dict[str, int], now: float) -> Definition:
    """The new throughput, with the times at which it last went up and down."""
    kept = {member: value for member, value in current.items() if member not in wanted}
    if any(units > current[member] for member, units in wanted.items()):
        kept["LastIncreaseDateTime"] = now
    if any(units < current[member] for member, units in wanted.items()):
        kept["LastDecreaseDateTime"] = now
    return {**kept, **wanted}
