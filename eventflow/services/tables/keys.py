"""Key schemas, and key values as bytes that sort as the values do."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from eventflow.services.attributes import numbers
from eventflow.services.attributes.refusals import invalid, invalid_parameters
from eventflow.services.attributes.values import Item, Value, type_of

LONGEST_HASH = 2048
LONGEST_SORT = 1024

#: Above every key value that fits the limits.
ABOVE_ALL = b"\xff" * (LONGEST_HASH + 1)

#: Hash keys are spread over so many slots: a scan goes through them in order, and the segments of a parallel scan are ranges of them.
SLOTS = 1 << 16

NOT_THE_SCHEMA = "The provided key element does not match the schema"
EMPTY_KEY = "The AttributeValue for a key attribute cannot contain an empty {} value."
KINDS = {"S": "string", "B": "binary"}


class RowKey(NamedTuple):
    """A primary key, or an index key, as it is stored; ``sort`` is empty where the schema has none."""

    hash: bytes
    sort: bytes

    @property
    def slot(self) -> int:
        return zlib.crc32(self.hash) % SLOTS


def encode(value: Value) -> bytes:
    """A canonical key value as bytes: text as UTF-8, which sorts by code point as DynamoDB does, binary as it is, numbers in an encoding."""
    kind = type_of(value)
    if kind == "S":
        return value["S"].encode()  # type: ignore[no-any-return]
    if kind == "N":
        return numbers.sortable(value["N"])
    return value["B"]  # type: ignore[no-any-return]


def following(key: bytes) -> bytes:
    """The first of all byte strings after this one."""
    return key + b"\0"


def end_of_prefix(prefix: bytes) -> bytes:
    """The first byte string after all that begin with the prefix."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes((head[-1] + 1,)) if head else ABOVE_ALL


@dataclass(frozen=True, slots=True)
class KeySchema:
    """The attributes of a key and their types (S, N or B)."""

    hash: str
    hash_type: str
    sort: str | None = None
    sort_type: str | None = None

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        if self.sort is None or self.sort_type is None:
            return ((self.hash, self.hash_type),)
        return (self.hash, self.hash_type), (self.sort, self.sort_type)

    @property
    def names(self) -> tuple[str, ...]:
        return (self.hash,) if self.sort is None else (self.hash, self.sort)

    def row_key(self, item: Mapping[str, Value]) -> RowKey:
        """The key of an item that is known to have one."""
        return RowKey(encode(item[self.hash]), b"" if self.sort is None else encode(item[self.sort]))

    def of_key(self, key: Item) -> RowKey:
        """The key of a request that names an item by it: these attributes and no others."""
        if len(key) != len(self.names):
            raise invalid(NOT_THE_SCHEMA)
        for name, kind in self.parts:
            if name not in key or kind not in key[name]:
                raise invalid(NOT_THE_SCHEMA)
            if kind in KINDS and not key[name][kind]:
                raise invalid_parameters(f"{EMPTY_KEY.format(KINDS[kind])} Key: {name}")
        return self._fitting(self.row_key(key))

    def of_item(self, item: Item) -> RowKey:
        """The key of an item to be put."""
        for name, kind in self.parts:
            if name not in item:
                raise invalid_parameters(f"Missing the key {name} in the item")
            if kind not in item[name]:
                raise invalid_parameters(f"Type mismatch for key {name} expected: {kind} actual: {type_of(item[name])}")
            if kind in KINDS and not item[name][kind]:
                raise invalid(f"One or more parameter values are not valid. {EMPTY_KEY.format(KINDS[kind])} Key: {name}")
        return self._fitting(self.row_key(item))

    def _fitting(self, key: RowKey) -> RowKey:
        refuse_long(key)
        return key


def refuse_long(key: RowKey) -> None:
    if len(key.hash) > LONGEST_HASH:
        raise invalid_parameters(f"Size of hashkey has exceeded the maximum size limit of{LONGEST_HASH} bytes")
    if len(key.sort) > LONGEST_SORT:
        raise invalid_parameters(f"Aggregated size of all range keys has exceeded the size limit of {LONGEST_SORT} bytes")
