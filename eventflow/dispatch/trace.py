"""The chain of causes of an event: a trace header that counts each function's part in it, so that a loop is stopped."""

from __future__ import annotations

import zlib
from functools import lru_cache

#: Lambda stops a chain when a function has been invoked about 16 times in it (AWS: "Lambda recursive loop detection").
RECURSION_LIMIT = 16


def extend(trace: str | None, function_arn: str, request_id: str) -> tuple[str, int]:
    """The trace header that an invocation sees, and how many times its function stands in the chain with it.

    The header is AWS's: ``Root=...;Parent=...;Sampled=0;Lineage=<function>:<count>|...``; botocore sends it on with every call made in the function.
    """
    digits = request_id.replace("-", "")
    name = lineage_name(function_arn)
    if trace is None:
        return f"Root=1-{digits[:8]}-{digits[8:]};Parent={digits[-16:]};Sampled=0;Lineage={name}:1", 1
    fields = parse(trace)
    lineage = parse_lineage(fields.get("Lineage", ""))
    lineage[name] = lineage.get(name, 0) + 1
    root = fields.get("Root") or f"1-{digits[:8]}-{digits[8:]}"
    chain = "|".join(f"{function}:{count}" for function, count in lineage.items())
    return f"Root={root};Parent={digits[-16:]};Sampled=0;Lineage={chain}", lineage[name]


@lru_cache(1024)
def lineage_name(function_arn: str) -> str:
    return f"{zlib.crc32(function_arn.encode()):08x}"


def depth(trace: str | None) -> int:
    """How many invocations stand in the chain."""
    return sum(parse_lineage(parse(trace).get("Lineage", "")).values())


def parse(trace: str | None) -> dict[str, str]:
    fields = {}
    for part in (trace or "").split(";"):
        name, separator, value = part.strip().partition("=")
        if separator:
            fields[name] = value
    return fields


def parse_lineage(text: str) -> dict[str, int]:
    """``{function: count}``; what is not in that form was written by somebody else and counts for nothing."""
    lineage = {}
    for part in text.split("|"):
        function, _separator, count = part.rpartition(":")
        if function and count.isascii() and count.isdigit():
            lineage[function] = int(count)
    return lineage
