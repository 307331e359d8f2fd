"""Addresses that functions are told of. The AWS endpoint's is known when a template is read, the API gateway's only when it listens: until then a
mark stands in its place."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from eventflow.function import Function

#: What stands for the gateway's address (``http://127.0.0.1:8080``) in the variables of functions and in notes.
GATEWAY = "{eventflow-gateway}"
#: The address that an API has on AWS: its id, region and perhaps the first part of the path, which may be the stage.
EXECUTE_API = re.compile(
    r"https://(?P<id>[a-z0-9]{10})\.execute-api\.[a-z0-9-]+\.(?:amazonaws\.com|localhost)(?::\d+)?(?:/(?P<stage>[A-Za-z0-9_$-]+))?(?=[/?#\s]|$)"
)


def with_gateway(function: Function, gateway: str) -> Function:
    """The function with the gateway's address in its variables, as far as these name it."""
    if not any(GATEWAY in value for value in function.environment.values()):
        return function
    return dataclasses.replace(function, environment={name: value.replace(GATEWAY, gateway) for name, value in function.environment.items()})


def local_addresses(value: Any, mounts: Mapping[str, Callable[[str | None], str]]) -> Any:
    """The value with each address of an API of the template (by its id) turned into the one that it has on the gateway. ``mounts`` give, for what may
    be a stage, the path on the gateway."""
    if isinstance(value, str):
        return EXECUTE_API.sub(lambda found: mounted(found, mounts), value) if "execute-api" in value else value
    if isinstance(value, list):
        return [local_addresses(one, mounts) for one in value]
    if isinstance(value, Mapping):
        return {name: local_addresses(one, mounts) for name, one in value.items()}
    return value


def mounted(found: re.Match[str], mounts: Mapping[str, Callable[[str | None], str]]) -> str:
    mount = mounts.get(found["id"])
    return found[0] if mount is None else f"{GATEWAY}{mount(found['stage'])}"
