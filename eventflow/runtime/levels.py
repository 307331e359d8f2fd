"""Which of the JSON lines that a function writes its log takes: those of its level and above, whoever wrote them (AWS: "Log-level filtering")."""

from __future__ import annotations

import json

from eventflow.function import APPLICATION_LEVELS, USUAL_LEVEL, Function

#: Names that other libraries have for Lambda's levels.
SAME = {"WARNING": "WARN", "CRITICAL": "FATAL"}
#: A longer line is not looked into.
LONGEST = 256 * 1024


def filters(function: Function) -> bool:
    """Whether its log leaves anything out."""
    return function.logs_json and rank(function.application_log_level) > 0


def kept(function: Function, data: bytes) -> bytes:
    """Whole lines of output without those below the function's level. What is no JSON object has no level, and stays."""
    least = rank(function.application_log_level)
    return b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(b"{") or level_of(line) >= least)


def level_of(line: bytes) -> int:
    """Of a line that may be a JSON object: the usual level where it names none, the highest where it is none."""
    if len(line) > LONGEST:
        return len(APPLICATION_LEVELS)
    try:
        value = json.loads(line)
    except ValueError:
        return len(APPLICATION_LEVELS)
    return rank(value.get("level"))


def rank(level: object) -> int:
    name = str(level).upper()
    name = SAME.get(name, name)
    return APPLICATION_LEVELS.index(name if name in APPLICATION_LEVELS else USUAL_LEVEL)
