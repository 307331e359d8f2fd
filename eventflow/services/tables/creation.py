"""CreateTable's parameters: what is checked, what is kept as the table's definition, and what is refused because it could not be kept to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.tables.constraints import Constraints
from eventflow.services.tables.definition import GLOBAL, LOCAL, SCOPES

MOST_LOCAL = 5
MOST_GLOBAL = 20
MOST_PROJECTED = 100
LONGEST_KEY_NAME = 255
MOST_UNITS = 1_000_000_000_000

PROJECTIONS = ("ALL", "INCLUDE", "KEYS_ONLY")

#: Members that promise something that is not done here, and what to do instead. A member is refused when it asks for it.
UNSUPPORTED = {
    "SSESpecification": "encryption with KMS keys: leave it out and encrypt the disk that holds the state",
    "ResourcePolicy": "resource policies on tables: leave it out",
    "OnDemandThroughput": "limits on on-demand throughput: leave it out",
    "WarmThroughput": "warm throughput: leave it out",
    "GlobalTableSourceArn": "global tables: leave it out",
    "GlobalTableSettingsReplicationMode": "global tables: leave it out",
    "VectorIndexes": "vector indexes: leave them out",
}
HARMLESS: Mapping[str, Sequence[Any]] = {
    "SSESpecification": ({"Enabled": False}, {}),
}


def definition_from(params: Mapping[str, Any]) -> dict[str, Any]:
    """The accepted members of a CreateTable request, complete and in AWS's shapes."""
    refuse_unsupported(params, "")
    refuse_malformed(params)
    billing = params.get("BillingMode") or "PROVISIONED"
    throughput = table_throughput(billing, params.get("ProvisionedThroughput"))
    attributes = [dict(attribute) for attribute in params["AttributeDefinitions"]]
    names = [attribute["AttributeName"] for attribute in attributes]
    refuse_keys(params["KeySchema"], names)
    indexes = {scope: indexes_of(params, scope, names, billing) for scope in SCOPES}
    refuse_same_names([index["IndexName"] for found in indexes.values() for index in found])
    refuse_idle_attributes(params["KeySchema"], indexes, names)
    definition = {
        "AttributeDefinitions": attributes,
        "KeySchema": [dict(element) for element in params["KeySchema"]],
        "BillingMode": billing,
        "ProvisionedThroughput": throughput,
        **{member: params[member] for member in ("TableClass", "DeletionProtectionEnabled") if params.get(member) is not None},
    }
    return definition | {scope: found for scope, found in indexes.items() if found}


def refuse_unsupported(params: Mapping[str, Any], where: str) -> None:
    for member, instead in UNSUPPORTED.items():
        value = params.get(member)
        if value is not None and value not in HARMLESS.get(member, ()):
            raise invalid(f"{member}{where} is not supported: eventflow has no {instead}.")


def refuse_malformed(params: Mapping[str, Any]) -> None:
    constraints = Constraints(params).required("AttributeDefinitions", "KeySchema").choices("BillingMode", "TableClass")
    for position, attribute in enumerate(params.get("AttributeDefinitions") or (), 1):
        check_attribute(constraints, attribute, f"attributeDefinitions.{position}.member")
    _check_schema(constraints, params.get("KeySchema"), "keySchema")
    for scope in SCOPES:
        for position, index in enumerate(params.get(scope) or (), 1):
            check_index(constraints, index, f"{scope[0].lower()}{scope[1:]}.{position}.member")
    check_throughput(constraints, params.get("ProvisionedThroughput"), "provisionedThroughput")
    constraints.refuse()


def check_attribute(constraints: Constraints, attribute: Mapping[str, Any], place: str) -> None:
    check_name(constraints, attribute.get("AttributeName"), f"{place}.attributeName")
    if attribute.get("AttributeType") is None:
        constraints.problem(None, f"{place}.attributeType", "not be null")
    constraints.choice(attribute.get("AttributeType"), f"{place}.attributeType", ("B", "N", "S"))


def check_name(constraints: Constraints, name: str | None, place: str) -> None:
    if name is None:
        constraints.problem(None, place, "not be null")
    elif not name:
        constraints.problem(name, place, "have length greater than or equal to 1")
    elif len(name.encode(errors="replace")) > LONGEST_KEY_NAME:
        constraints.problem(name, place, f"have length less than or equal to {LONGEST_KEY_NAME}")


def _check_schema(constraints: Constraints, schema: Sequence[Mapping[str, Any]] | None, place: str) -> None:
    for position, element in enumerate(schema or (), 1):
        check_name(constraints, element.get("AttributeName"), f"{place}.{position}.member.attributeName")
        if element.get("KeyType") is None:
            constraints.problem(None, f"{place}.{position}.member.keyType", "not be null")
        constraints.choice(element.get("KeyType"), f"{place}.{position}.member.keyType", ("HASH", "RANGE"))
    if schema is not None and not 1 <= len(schema) <= 2:
        shown = ", ".join(f"KeySchemaElement(attributeName={element.get('AttributeName')}, keyType={element.get('KeyType')})" for element in schema)
        rule = "less than or equal to 2" if schema else "greater than or equal to 1"
        constraints.problem(f"[{shown}]", place, f"have length {rule}")


def check_index(constraints: Constraints, index: Mapping[str, Any], place: str) -> None:
    name = index.get("IndexName")
    if name is None:
        constraints.problem(None, f"{place}.indexName", "not be null")
    else:
        constraints.name(name, f"{place}.indexName", 3)
    for member in ("KeySchema", "Projection"):
        if index.get(member) is None:
            constraints.problem(None, f"{place}.{member[0].lower()}{member[1:]}", "not be null")
    _check_schema(constraints, index.get("KeySchema"), f"{place}.keySchema")
    projection = index.get("Projection") or {}
    constraints.choice(projection.get("ProjectionType"), f"{place}.projection.projectionType", PROJECTIONS)
    if projection.get("NonKeyAttributes") == []:
        constraints.problem("[]", f"{place}.projection.nonKeyAttributes", "have length greater than or equal to 1")
    check_throughput(constraints, index.get("ProvisionedThroughput"), f"{place}.provisionedThroughput")


def check_throughput(constraints: Constraints, throughput: Mapping[str, Any] | None, place: str) -> None:
    if throughput is None:
        return
    for member in ("ReadCapacityUnits", "WriteCapacityUnits"):
        units = throughput.get(member)
        if units is None:
            constraints.problem(None, f"{place}.{member[0].lower()}{member[1:]}", "not be null")
        elif units < 1:
            constraints.problem(units, f"{place}.{member[0].lower()}{member[1:]}", "have value greater than or equal to 1")


def table_throughput(billing: str, throughput: Mapping[str, Any] | None) -> dict[str, int]:
    if billing == "PAY_PER_REQUEST":
        if throughput is not None:
            raise invalid_parameters("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
        return {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
    if throughput is None:
        raise invalid_parameters("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
    return within_bounds(throughput)


def within_bounds(throughput: Mapping[str, Any]) -> dict[str, int]:
    units = {member: int(throughput[member]) for member in ("ReadCapacityUnits", "WriteCapacityUnits")}
    for member, value in units.items():
        if value > MOST_UNITS:
            raise invalid(f"Given value {value} for {member} is out of bounds")
    return units


def refuse_keys(schema: Sequence[Mapping[str, str]], attributes: list[str]) -> None:
    names = [element["AttributeName"] for element in schema]
    if len(names) > len(attributes):
        raise invalid("Invalid KeySchema: Some index key attribute have no definition")
    if any(name not in attributes for name in names):
        raise invalid_parameters(
            "Some index key attributes are not defined in AttributeDefinitions. "
            f"Keys: [{', '.join(names)}], AttributeDefinitions: [{', '.join(attributes)}]"
        )
    if len(set(names)) != len(names):
        raise invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
    if schema[0]["KeyType"] != "HASH":
        raise invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
    if len(schema) > 1 and schema[1]["KeyType"] != "RANGE":
        raise invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")


def indexes_of(params: Mapping[str, Any], scope: str, attributes: list[str], billing: str) -> list[dict[str, Any]]:
    requested = params.get(scope)
    if requested is None:
        return []
    if not requested:
        raise invalid_parameters(f"List of {scope} is empty")
    if scope == LOCAL and len(params["KeySchema"]) != 2:
        raise invalid_parameters("Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex")
    found = [index_from(index, scope, params["KeySchema"][0]["AttributeName"], attributes, billing) for index in requested]
    if scope == LOCAL and len(found) > MOST_LOCAL:
        raise invalid_parameters(f"Number of LocalSecondaryIndexes exceeds per-table limit of {MOST_LOCAL}")
    if scope == GLOBAL and len(found) > MOST_GLOBAL:
        raise invalid_parameters(f"GlobalSecondaryIndex count exceeds the per-table limit of {MOST_GLOBAL}")
    refuse_wide([index["Projection"] for index in found])
    return found


def index_from(index: Mapping[str, Any], scope: str, table_hash: str, attributes: list[str], billing: str) -> dict[str, Any]:
    name = index["IndexName"]
    refuse_unsupported(index, f" of index {name}")
    refuse_keys(index["KeySchema"], attributes)
    if scope == LOCAL:
        _refuse_foreign_hash(name, index["KeySchema"], table_hash)
    found = {
        "IndexName": name,
        "KeySchema": [dict(element) for element in index["KeySchema"]],
        "Projection": _projection(index["Projection"]),
    }
    if scope == GLOBAL:
        found["ProvisionedThroughput"] = _index_throughput(name, billing, index.get("ProvisionedThroughput"))
    return found


def _refuse_foreign_hash(name: str, schema: Sequence[Mapping[str, str]], table_hash: str) -> None:
    if len(schema) != 2:
        raise invalid_parameters(f"Index KeySchema does not have a range key for index: {name}")
    if schema[0]["AttributeName"] != table_hash:
        raise invalid_parameters(
            f"Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}. "
            f"index hash key: {schema[0]['AttributeName']}, table hash key: {table_hash}"
        )


def _projection(projection: Mapping[str, Any]) -> dict[str, Any]:
    kind = projection.get("ProjectionType")
    attributes = projection.get("NonKeyAttributes")
    if kind is None:
        raise invalid_parameters("Unknown ProjectionType: null")
    if attributes is not None and kind != "INCLUDE":
        raise invalid_parameters(f"ProjectionType is {kind}, but NonKeyAttributes is specified")
    if kind == "INCLUDE" and not attributes:
        raise invalid_parameters("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
    if attributes is None:
        return {"ProjectionType": kind}
    if len(set(attributes)) != len(attributes):
        raise invalid_parameters(f"Duplicate entry in NonKeyAttributes: [{', '.join(attributes)}]")
    return {"ProjectionType": kind, "NonKeyAttributes": list(attributes)}


def refuse_wide(projections: list[dict[str, Any]]) -> None:
    if sum(len(projection.get("NonKeyAttributes", ())) for projection in projections) > MOST_PROJECTED:
        raise invalid_parameters(f"The number of projected attributes exceeds the per-table limit of {MOST_PROJECTED}")


def _index_throughput(name: str, billing: str, throughput: Mapping[str, Any] | None) -> dict[str, int]:
    if billing == "PAY_PER_REQUEST":
        if throughput is not None:
            raise invalid_parameters(f"ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST")
        return {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
    if throughput is None:
        raise invalid_parameters(f"ProvisionedThroughput is not specified for index: {name}")
    return within_bounds(throughput)


def refuse_same_names(names: list[str]) -> None:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise invalid_parameters(f"Duplicate index name: {name}")


def refuse_idle_attributes(schema: Sequence[Mapping[str, str]], indexes: Mapping[str, list[dict[str, Any]]], attributes: list[str]) -> None:
    """Every defined attribute is part of some key, and defined once."""
    keys = {element["AttributeName"] for element in schema}
    if len(set(attributes)) != len(attributes):
        raise invalid_parameters(f"Duplicate AttributeName in AttributeDefinitions: [{', '.join(attributes)}]")
    if not any(indexes.values()):
        if len(keys) != len(attributes):
            raise invalid_parameters("Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions")
        return
    for found in indexes.values():
        keys |= {element["AttributeName"] for index in found for element in index["KeySchema"]}
    if keys != set(attributes):
        shown = f"Keys used: [{', '.join(sorted(keys))}], AttributeDefinitions: [{', '.join(attributes)}]"
        raise invalid_parameters(f"Some AttributeDefinitions are not used. {shown}")
