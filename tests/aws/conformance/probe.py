"""Which parameters an operation refuses, found by calling it: each parameter of its model in turn, and each value of those that name a choice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.model import OperationModel, Shape

from eventflow.aws.operation import Call, Operation, Service
from eventflow.errors import ServiceError

ACCOUNT, REGION = "000000000000", "us-east-1"
#: Members that must name something for an operation to read the others.
KNOWN = {
    "Bucket": "probe-bucket",
    "Key": "probe-key",
    "CopySource": {"Bucket": "probe-bucket", "Key": "probe-key"},
    "QueueUrl": f"http://localhost/{ACCOUNT}/probe",
}
#: Seconds until a call that is not refused, and waits for something, is left.
PATIENCE = 1.0
#: How a refusal reads where the service has no error of its own for it.
REFUSAL = re.compile("not supported|does not support|eventflow has no|eventflow does not|not (?:kept|enforced|offered) (?:here|by this service)")
DEEPEST = 4


async def refused_parameters(service: Service, model: OperationModel) -> list[str]:
    """What is refused, in Markdown: names of parameters, with values where only some are refused; empty also where an operation is not there."""
    implementation = service.operations.get(model.name)
    shape = model.input_shape
    if implementation is None or shape is None:
        return []
    base = {name: KNOWN.get(name, example(shape.members[name])) for name in shape.required_members}
    found: list[str] = []
    for name, member in shape.members.items():
        values = list(choices(member))
        refused = [value for value in values if await refuses(service.name, model.name, implementation, {**base, name: value}, name)]
        if refused:
            found.append(told(name, values, refused))
    return found


def told(name: str, values: list[Any], refused: list[Any]) -> str:
    taken = [value for value in values if value not in refused]
    if not taken:
        return f"`{name}`"
    if len(taken) < len(refused):
        return f"`{name}` other than {' and '.join(f'`{value}`' for value in taken)}"
    return f"`{name}` " + " and ".join(f"`{value}`" for value in refused)


async def refuses(service: str, operation: str, implementation: Operation, params: Mapping[str, Any], name: str) -> bool:
    call = Call(service, operation, REGION, ACCOUNT, "AKIAPROBE", "probe", "http://localhost", body=nothing())
    try:
        await asyncio.wait_for(implementation(call, dict(params)), PATIENCE)
    except ServiceError as error:
        named = name in error.message or name in error.members.values()
        return named and (error.code == "NotImplemented" or REFUSAL.search(error.message) is not None)
    except Exception:
        return False  # the probe's nonsense met another check, which is what every other test is about
    return False


async def nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def choices(shape: Shape) -> Iterator[Any]:
    yield from getattr(shape, "enum", ()) or (example(shape),)


def example(shape: Shape, depth: int = 0) -> Any:
    """Some value of a shape."""
    match shape.type_name:
        case "structure":
            members = shape.required_members or list(shape.members)[:1]
            return {name: example(shape.members[name], depth + 1) for name in members} if depth < DEEPEST else {}
        case "list":
            return [example(shape.member, depth + 1)] if depth < DEEPEST else []
        case "map":
            return {"probe": example(shape.value, depth + 1)} if depth < DEEPEST else {}
        case "boolean":
            return True
        case "integer" | "long":
            return 1
        case "float" | "double":
            return 1.0
        case "timestamp":
            return datetime(2030, 1, 1, tzinfo=UTC)
        case "blob":
            return b"probe"
    enum = getattr(shape, "enum", ())
    return enum[-1] if enum else "probe"
