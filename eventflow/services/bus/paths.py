"""The part of JSONPath that targets may use: ``$.detail.items[0].name``, ``$.detail.items[*].name``, ``$['detail-type']``."""

from __future__ import annotations

import re
from typing import Any

STEP = re.compile(r"\.(?P<name>[^.\[\]'\"*$@?()\s]+)|\['(?P<quoted>[^']+)'\]|\[\"(?P<double>[^\"]+)\"\]|\[(?P<index>\d{1,9})\]|(?P<each>\[\*\])")

#: What a path leads to that is not there.
NOTHING = object()
Step = str | int | None


class JsonPath:
    """A parsed path; ``of(value)`` is what it leads to, or ``NOTHING``. With ``[*]`` it is the list of all that it leads to."""

    def __init__(self, text: str) -> None:
        """Raises ValueError for what is not such a path."""
        if not text.startswith("$"):
            raise ValueError(f"{text!r} does not begin with $")
        self.steps: list[Step] = []
        position = 1
        while position < len(text):
            found = STEP.match(text, position)
            if found is None:
                raise ValueError(f"{text!r} is no path of names, [n] and [*] from character {position + 1} on")
            name = found["name"] or found["quoted"] or found["double"]
            self.steps.append(name if name else int(found["index"]) if found["index"] else None)
            position = found.end()

    def of(self, value: Any) -> Any:
        reached = [value]
        for step in self.steps:
            reached = [found for one in reached for found in follow(one, step)]
        if None in self.steps:
            return reached or NOTHING
        return reached[0] if reached else NOTHING


def follow(value: Any, step: Step) -> list[Any]:
    if step is None:
        return value if isinstance(value, list) else []
    if isinstance(step, int):
        return value[step : step + 1] if isinstance(value, list) else []
    return [value[step]] if isinstance(value, dict) and step in value else []
