"""The filter criteria of an event source mapping: which records of a queue or stream a function wants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from eventflow.errors import ServiceError, SettingError
from eventflow.pattern import Pattern, compile_pattern

#: AWS: filters of one event source mapping, after a raised quota.
MOST_FILTERS = 10


class Filters:
    """The filter criteria of an event source mapping (Lambda developer guide, "Control which events Lambda sends to your function").

    A record passes that matches any of the patterns; without patterns every record does. ``body`` is the record's member that holds text, which a
    pattern may ask for as it is or, where it is the JSON of an object or array, by its members: ``body`` of a queue's message. Streams have none.
    """

    def __init__(self, patterns: Sequence[str | Mapping[str, Any]], body: str | None = None) -> None:
        """Raises ``SettingError`` that says which pattern is wrong, and where."""
        if isinstance(patterns, str | Mapping) or not isinstance(patterns, Sequence):
            raise SettingError(f"filters={patterns!r} is not a list of patterns, as in filters=[{{'body': {{'kind': ['order']}}}}].")
        if len(patterns) > MOST_FILTERS:
            raise SettingError(f"filters has {len(patterns)} patterns, outside 0-{MOST_FILTERS}.")
        self.patterns = tuple(self._compiled(number, pattern) for number, pattern in enumerate(patterns))
        self._body = body

    @staticmethod
    def _compiled(number: int, pattern: str | Mapping[str, Any]) -> Pattern:
        if not isinstance(pattern, str | Mapping):
            raise SettingError(f"filters[{number}]={pattern!r} is neither a pattern's JSON nor a mapping.")
        try:
            return compile_pattern(pattern)
        except ServiceError as error:
            raise SettingError(f"filters[{number}] is refused. {error.message}") from error

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def matches(self, record: Mapping[str, Any]) -> bool:
        if not self.patterns:
            return True
        asked = with_parsed(record, self._body) if self._body is not None else record
        return any(pattern.matches(asked) for pattern in self.patterns)


def with_parsed(record: Mapping[str, Any], member: str) -> Mapping[str, Any]:
    """The record with what its text member is the JSON of, if that is an object or an array."""
    text = record.get(member)
    if not isinstance(text, str) or not text.lstrip().startswith(("{", "[")):
        return record
    try:
        return {**record, member: json.loads(text)}
    except (ValueError, RecursionError):
        return record
