"""Tables that an application declares in full, as CreateTable has them: made where they are not there, compared where they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eventflow.errors import ServiceError, SettingError
from eventflow.services.tables.tables import Tables

Params = Mapping[str, Any]
SCOPES = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")


async def declare(tables: Tables, region: str, name: str, definition: Params, time_to_live: str | None = None) -> None:
    """Make the table of a ``CreateTable`` request if it is not there, and have it forget items by the attribute ``time_to_live``. Raises SettingError
    for what DynamoDB would refuse, and for a table of that name with other keys or indexes; capacity, stream and tags of one that is there stay."""
    try:
        try:
            await tables.create_table(region, {**definition, "TableName": name})
        except ServiceError as error:
            if error.code != "ResourceInUseException":
                raise
            compare((await tables.describe_table(region, {"TableName": name}))["Table"], definition, name)
            if specification := definition.get("StreamSpecification"):
                await tables.ensure_stream(region, name, specification["StreamViewType"])
        await keep_lifetime(tables, region, name, time_to_live)
    except ServiceError as error:
        raise SettingError(f"Table {name!r}: {error.message}") from error


def compare(found: Params, definition: Params, name: str) -> None:
    for part, here, declared in [
        ("key", list(found["KeySchema"]), list(definition["KeySchema"])),
        *((scope, index_names(found, scope), index_names(definition, scope)) for scope in SCOPES),
    ]:
        if here != declared:
            raise SettingError(
                f"Table {name!r} exists with another {part}: it has {here}, the application declares {declared}. "
                "Declare what it has, change it with UpdateTable, choose another name, or delete the table."
            )


def index_names(table: Params, scope: str) -> list[str]:
    return sorted(index["IndexName"] for index in table.get(scope) or ())


async def keep_lifetime(tables: Tables, region: str, name: str, attribute: str | None) -> None:
    found = (await tables.administration.describe_time_to_live(region, {"TableName": name}))["TimeToLiveDescription"]
    if attribute is None or found.get("AttributeName") == attribute:
        return
    wanted = {"Enabled": True, "AttributeName": attribute}
    await tables.administration.update_time_to_live(region, {"TableName": name, "TimeToLiveSpecification": wanted})
