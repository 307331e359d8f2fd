"""Route selection expressions: which part of a message names the route that it takes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Never

from eventflow.errors import SettingError

EXPRESSION = re.compile(r"\$request\.body((?:\.[^\s.{}$\[\]]+)+)|\$\{request\.body((?:\.[^\s.{}$\[\]]+)+)\}")
DEFAULT_EXPRESSION = "$request.body.action"
#: What the gateway itself calls: a message that names one of them leads nowhere.
RESERVED = ("$connect", "$disconnect")


@dataclass(frozen=True)
class Selection:
    """``path`` are the members that lead to the route's key, from the outside in."""

    path: tuple[str, ...]

    @classmethod
    def parse(cls, where: str, text: object) -> Selection:
        """Raises SettingError."""
        found = EXPRESSION.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise SettingError(
                f"{where}: route_selection_expression={text!r} is refused: it takes $request.body and the names of members, "
                "such as '$request.body.action' or '$request.body.message.kind'."
            )
        return cls(tuple((found[1] or found[2])[1:].split(".")))

    def key(self, message: str) -> str | None:
        """The route key in a message; None for one that is no JSON, or has no text, number or truth value there."""
        try:
            value = DECODER.decode(message)
        except (ValueError, RecursionError):
            return None
        for name in self.path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, str):
            return None if value in RESERVED else value
        return json.dumps(value) if isinstance(value, bool | int | float) else None


def no_json(name: str) -> Never:
    """Python reads NaN and the infinities, which JSON does not have."""
    raise ValueError(f"{name} is no JSON")


DECODER = json.JSONDecoder(parse_constant=no_json)
