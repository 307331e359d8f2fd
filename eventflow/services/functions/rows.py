"""The tables of functions made by API: every statement once, and rows as what they say."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from eventflow.errors import ServiceError
from eventflow.services.functions.code import Code
from eventflow.services.functions.names import Place, not_found
from eventflow.services.functions.records import NEWEST, Alias, EventSettings, LayerUse, LayerVersion, Settings, Shared, Url, Version, version_of

INSERT_FUNCTION = "INSERT INTO functions (name, recursive_loop, tags) VALUES (?, 'Terminate', ?)"
DELETE_FUNCTION = "DELETE FROM functions WHERE name = ?"
FUNCTION = "SELECT name, reserved_concurrency, recursive_loop, tags FROM functions WHERE name = ?"
NAMES = "SELECT name FROM functions ORDER BY name"
SET_SHARED = "UPDATE functions SET reserved_concurrency = ?, recursive_loop = ?, tags = ? WHERE name = ?"
RESERVED = "SELECT coalesce(sum(reserved_concurrency), 0) FROM functions WHERE name <> ?"

VERSION_COLUMNS = "function, number, settings, content, size, unzipped, revision, modified_at, described"
PUT_VERSION = f"""
    INSERT INTO function_versions ({VERSION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (function, number) DO UPDATE SET
    settings = excluded.settings, content = excluded.content, size = excluded.size, unzipped = excluded.unzipped, revision = excluded.revision,
    modified_at = excluded.modified_at, described = excluded.described
"""
DELETE_VERSION = "DELETE FROM function_versions WHERE function = ? AND number = ?"
VERSION = f"SELECT {VERSION_COLUMNS} FROM function_versions WHERE function = ? AND number = ?"
VERSIONS = f"SELECT {VERSION_COLUMNS} FROM function_versions WHERE function = ? AND number >= ? ORDER BY number LIMIT ?"
ALL_VERSIONS = f"SELECT {VERSION_COLUMNS} FROM function_versions WHERE (function, number) > (?, ?) ORDER BY function, number LIMIT ?"
ALL_NEWEST = f"SELECT {VERSION_COLUMNS} FROM function_versions WHERE function > ? AND number = 0 ORDER BY function LIMIT ?"
NEWEST_PUBLISHED = f"SELECT {VERSION_COLUMNS} FROM function_versions WHERE function = ? AND number > 0 ORDER BY number DESC LIMIT 1"

LAYERS = "SELECT arn, content, size, unzipped FROM function_layers WHERE function = ? AND number = ? ORDER BY place"
DELETE_LAYERS = "DELETE FROM function_layers WHERE function = ? AND number = ?"
INSERT_LAYER = "INSERT INTO function_layers VALUES (?, ?, ?, ?, ?, ?, ?)"
LAYER_CODE = "SELECT content, size, unzipped FROM layer_versions WHERE layer = ? AND number = ?"

COUNT_UP = """
    INSERT INTO function_numbers VALUES (?, ?, 1) ON CONFLICT (kind, name) DO UPDATE SET number = number + 1 RETURNING number
"""
TOTAL_SIZE = "SELECT (SELECT coalesce(sum(size), 0) FROM function_versions) + (SELECT coalesce(sum(size), 0) FROM layer_versions)"
NAMED = """
    SELECT EXISTS (SELECT 1 FROM function_versions WHERE content = ?1) OR EXISTS (SELECT 1 FROM function_layers WHERE content = ?1)
    OR EXISTS (SELECT 1 FROM layer_versions WHERE content = ?1)
"""
ALIASES = "SELECT function, name, number, description, other, coalesce(weight, 0.0), revision FROM function_aliases WHERE function = ?"
PUT_ALIAS = """
    INSERT INTO function_aliases (function, name, number, description, other, weight, revision) VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (function, name) DO UPDATE SET number = excluded.number, description = excluded.description, other = excluded.other,
    weight = excluded.weight, revision = excluded.revision
"""
DELETE_ALIAS = "DELETE FROM function_aliases WHERE function = ? AND name = ?"

EVENT_COLUMNS = "retries, maximum_age, on_success, on_failure, modified_at"
EVENT_SETTINGS = f"SELECT {EVENT_COLUMNS} FROM function_event_configs WHERE function = ? AND qualifier = ?"
PUT_EVENT_SETTINGS = f"INSERT OR REPLACE INTO function_event_configs (function, qualifier, {EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
DELETE_EVENT_SETTINGS = "DELETE FROM function_event_configs WHERE function = ? AND qualifier = ?"
ALL_EVENT_SETTINGS = f"SELECT qualifier, {EVENT_COLUMNS} FROM function_event_configs WHERE function = ? AND qualifier >= ? ORDER BY qualifier LIMIT ?"

URL_COLUMNS = "function, qualifier, id, auth, mode, cors, created_at, modified_at"
URL = f"SELECT {URL_COLUMNS} FROM function_urls WHERE function = ? AND qualifier = ?"
URLS = f"SELECT {URL_COLUMNS} FROM function_urls WHERE ?1 IS NULL OR function = ?1 ORDER BY function, qualifier"
PUT_URL = f"INSERT OR REPLACE INTO function_urls ({URL_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
PROVISIONS = "SELECT qualifier, wanted, modified_at FROM function_provisioned WHERE function = ?"
PUT_PROVISION = "INSERT OR REPLACE INTO function_provisioned VALUES (?, ?, ?, ?)"
DELETE_PROVISION = "DELETE FROM function_provisioned WHERE function = ? AND qualifier = ?"

PUT_DROP = "INSERT OR IGNORE INTO function_drops VALUES (?)"
DROPS = "SELECT key FROM function_drops"
DELETE_DROP = "DELETE FROM function_drops WHERE key = ?"

DELETE_URL = "DELETE FROM function_urls WHERE function = ? AND qualifier = ?"

LAYER_COLUMNS = "layer, number, description, license, runtimes, architectures, content, size, unzipped, created_at"
INSERT_LAYER_VERSION = f"INSERT INTO layer_versions ({LAYER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
LAYER_VERSION = f"SELECT {LAYER_COLUMNS} FROM layer_versions WHERE layer = ? AND number = ?"
DELETE_LAYER_VERSION = "DELETE FROM layer_versions WHERE layer = ? AND number = ?"
FITS = """
    (?3 IS NULL OR EXISTS (SELECT 1 FROM json_each(runtimes) WHERE value = ?3))
    AND (?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(architectures) WHERE value = ?4))
"""
LAYER_VERSIONS = f"SELECT {LAYER_COLUMNS} FROM layer_versions WHERE layer = ?1 AND number < ?2 AND {FITS} ORDER BY number DESC LIMIT ?5"
NEWEST_LAYERS = f"""
    SELECT {LAYER_COLUMNS} FROM layer_versions WHERE (layer, number) IN
    (SELECT layer, max(number) FROM layer_versions WHERE layer > ?1 AND number > ?2 AND {FITS} GROUP BY layer ORDER BY layer LIMIT ?5) ORDER BY layer
"""
LARGEST = 2**63 - 1
#: For pages that are not cut.
ALL = -1


def shared(connection: sqlite3.Connection, name: str) -> Shared | None:
    row = connection.execute(FUNCTION, (name,)).fetchone()
    return None if row is None else Shared(row[0], row[1], row[2], json.loads(row[3]))


def found_shared(connection: sqlite3.Connection, place: Place, name: str) -> Shared:
    found = shared(connection, name)
    if found is None:
        raise not_found(f"Function not found: {place.function_arn(name)}")
    return found


def set_shared(connection: sqlite3.Connection, changed: Shared) -> None:
    connection.execute(SET_SHARED, (changed.reserved_concurrency, changed.recursive_loop, json_of(changed.tags), changed.name))


def json_of(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def version(connection: sqlite3.Connection, name: str, number: int) -> Version | None:
    row = connection.execute(VERSION, (name, number)).fetchone()
    return None if row is None else version_in(connection, row)


def found_version(connection: sqlite3.Connection, place: Place, name: str, number: int) -> Version:
    found = version(connection, name, number)
    if found is None:
        qualifier = None if number == NEWEST else version_of(number)
        raise not_found(f"Function not found: {place.function_arn(name, qualifier)}")
    return found


def versions(connection: sqlite3.Connection, name: str, first: int = NEWEST, limit: int = ALL) -> list[Version]:
    return [version_in(connection, row) for row in connection.execute(VERSIONS, (name, first, limit)).fetchall()]


def version_in(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Version:
    function, number, settings, content, size, unzipped, revision, modified_at, described = row
    used = connection.execute(LAYERS, (function, number)).fetchall()
    layers = tuple(LayerUse(arn, Code(*code)) for arn, *code in used)
    return Version(function, number, Settings.from_json(settings), Code(content, size, unzipped), layers, revision, modified_at, described)


def put_version(connection: sqlite3.Connection, one: Version) -> None:
    code = one.code
    values = (one.function, one.number, one.settings.to_json(), code.sha, code.size, code.unzipped, one.revision, one.modified_at, one.described)
    connection.execute(PUT_VERSION, values)
    connection.execute(DELETE_LAYERS, (one.function, one.number))
    for place, layer in enumerate(one.layers):
        code = layer.code
        connection.execute(INSERT_LAYER, (one.function, one.number, place, layer.arn, code.sha, code.size, code.unzipped))


def count_up(connection: sqlite3.Connection, kind: str, name: str) -> int:
    number: int = connection.execute(COUNT_UP, (kind, name)).fetchone()[0]
    return number


def event_settings(connection: sqlite3.Connection, name: str, qualifier: str) -> EventSettings | None:
    row = connection.execute(EVENT_SETTINGS, (name, qualifier)).fetchone()
    return None if row is None else EventSettings(*row)


def total_size(connection: sqlite3.Connection) -> int:
    size: int = connection.execute(TOTAL_SIZE).fetchone()[0]
    return size


def named(connection: sqlite3.Connection, contents: Iterable[str]) -> set[str]:
    """Those of some contents that a function or a layer has."""
    return {one for one in contents if connection.execute(NAMED, (one,)).fetchone()[0]}


def newest_published(connection: sqlite3.Connection, name: str) -> Version | None:
    row = connection.execute(NEWEST_PUBLISHED, (name,)).fetchone()
    return None if row is None else version_in(connection, row)


def layer_use(connection: sqlite3.Connection, place: Place, arn: str) -> LayerUse | None:
    row = connection.execute(LAYER_CODE, place.layer_version(arn)).fetchone()
    return None if row is None else LayerUse(arn, Code(*row))


def storage_exceeded() -> ServiceError:
    return ServiceError("CodeStorageExceededException", "Code storage limit exceeded.", 400, Type="User")


def aliases(connection: sqlite3.Connection, name: str) -> dict[str, Alias]:
    return {row[1]: Alias(*row) for row in connection.execute(ALIASES, (name,)).fetchall()}


def put_alias(connection: sqlite3.Connection, alias: Alias) -> None:
    weight = None if alias.other is None else alias.weight
    connection.execute(PUT_ALIAS, (alias.function, alias.name, alias.number, alias.description, alias.other, weight, alias.revision))


def delete_alias(connection: sqlite3.Connection, name: str, alias: str) -> None:
    connection.execute(DELETE_ALIAS, (name, alias))
    connection.execute(DELETE_URL, (name, alias))


def provisions(connection: sqlite3.Connection, name: str) -> list[tuple[str, int, float]]:
    """What of a function is kept warm: qualifier, how many environments, since when."""
    return connection.execute(PROVISIONS, (name,)).fetchall()


def put_provision(connection: sqlite3.Connection, name: str, qualifier: str, wanted: int, at: float) -> None:
    connection.execute(PUT_PROVISION, (name, qualifier, wanted, at))


def delete_provision(connection: sqlite3.Connection, name: str, qualifier: str) -> None:
    connection.execute(DELETE_PROVISION, (name, qualifier))


def put_event_settings(connection: sqlite3.Connection, name: str, qualifier: str, one: EventSettings) -> None:
    connection.execute(PUT_EVENT_SETTINGS, (name, qualifier, one.retries, one.maximum_age, one.on_success, one.on_failure, one.modified_at))


def delete_event_settings(connection: sqlite3.Connection, name: str, qualifier: str) -> bool:
    return connection.execute(DELETE_EVENT_SETTINGS, (name, qualifier)).rowcount > 0


def all_event_settings(connection: sqlite3.Connection, name: str, first: str = "", limit: int = ALL) -> list[tuple[str, EventSettings]]:
    """By qualifier, from one on."""
    found = connection.execute(ALL_EVENT_SETTINGS, (name, first, limit)).fetchall()
    return [(qualifier, EventSettings(*values)) for qualifier, *values in found]


def url(connection: sqlite3.Connection, name: str, qualifier: str) -> Url | None:
    row = connection.execute(URL, (name, qualifier)).fetchone()
    return None if row is None else url_in(row)


def urls(connection: sqlite3.Connection, name: str | None) -> list[Url]:
    return [url_in(row) for row in connection.execute(URLS, (name,)).fetchall()]


def url_in(row: tuple[Any, ...]) -> Url:
    function, qualifier, id, auth, mode, cors, created_at, modified_at = row
    return Url(function, qualifier, id, auth, mode, None if cors is None else json.loads(cors), created_at, modified_at)


def put_url(connection: sqlite3.Connection, one: Url) -> None:
    cors = None if one.cors is None else json_of(one.cors)
    connection.execute(PUT_URL, (one.function, one.qualifier, one.id, one.auth, one.mode, cors, one.created_at, one.modified_at))


def insert_layer_version(connection: sqlite3.Connection, one: LayerVersion) -> None:
    described = (one.layer, one.number, one.description, one.license, json_of(one.runtimes), json_of(one.architectures))
    connection.execute(INSERT_LAYER_VERSION, (*described, one.code.sha, one.code.size, one.code.unzipped, one.created_at))


def layer_version(connection: sqlite3.Connection, layer: str, number: int) -> LayerVersion | None:
    row = connection.execute(LAYER_VERSION, (layer, min(number, LARGEST))).fetchone()
    return None if row is None else layer_in(row)


def layer_versions(
    connection: sqlite3.Connection, layer: str, before: int | None, limit: int, runtime: str | None, architecture: str | None
) -> list[LayerVersion]:
    values = (layer, LARGEST if before is None else before, runtime, architecture, limit)
    return [layer_in(row) for row in connection.execute(LAYER_VERSIONS, values).fetchall()]


def newest_layers(connection: sqlite3.Connection, after: str, limit: int, runtime: str | None, architecture: str | None) -> list[LayerVersion]:
    return [layer_in(row) for row in connection.execute(NEWEST_LAYERS, (after, 0, runtime, architecture, limit)).fetchall()]


def layer_in(row: tuple[Any, ...]) -> LayerVersion:
    layer, number, description, license, runtimes, architectures, sha, size, unzipped, created_at = row
    code = Code(sha, size, unzipped)
    return LayerVersion(layer, number, description, license, tuple(json.loads(runtimes)), tuple(json.loads(architectures)), code, created_at)
