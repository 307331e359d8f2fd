"""Names and ARNs of buses, rules, archives and replays."""

from __future__ import annotations

import re
from typing import NamedTuple

from eventflow.services.bus.errors import invalid, unlike

DEFAULT = "default"
NAME = re.compile(r"[.\-_A-Za-z0-9]+")
BUS_NAME = re.compile(r"[/.\-_A-Za-z0-9]+")
ARN = re.compile(r"arn:aws[\w-]*:(?P<service>[a-z0-9-]+):(?P<region>[a-z0-9-]*):(?P<account>[0-9]*):(?P<resource>.+)", re.DOTALL)
BUS_ARN = re.compile(r"arn:aws[\w-]*:events:[a-z]+-[a-z]+-[\w-]+:(?P<account>[0-9]{12}):event-bus/(?P<name>[/.\-_A-Za-z0-9]+)")


class Arn(NamedTuple):
    service: str
    region: str
    account: str
    resource: str


def parse_arn(text: str) -> Arn | None:
    found = ARN.fullmatch(text)
    return Arn(found["service"], found["region"], found["account"], found["resource"]) if found else None


def check_name(member: str, name: str, longest: int, shape: re.Pattern[str] = NAME) -> None:
    if not 1 <= len(name) <= longest:
        raise unlike(member, name, f"have length {'greater than or equal to 1' if not name else f'less than or equal to {longest}'}")
    if not shape.fullmatch(name):
        raise unlike(member, name, f"satisfy regular expression pattern: {shape.pattern}")


def bus_name(account: str, name_or_arn: str | None, member: str = "eventBusName") -> str:
    """The name of a bus that was given by name or ARN; none is the default bus."""
    if name_or_arn is None:
        return DEFAULT
    found = BUS_ARN.fullmatch(name_or_arn)
    if found is None:
        check_name(member, name_or_arn, 256, BUS_NAME)
        return name_or_arn
    if found["account"] != account:
        raise invalid(f"Event bus {name_or_arn} is of another account; here there is {account} alone.")
    return found["name"]


def bus_arn(region: str, account: str, bus: str) -> str:
    return f"arn:aws:events:{region}:{account}:event-bus/{bus}"


def rule_arn(region: str, account: str, bus: str, rule: str) -> str:
    path = rule if bus == DEFAULT else f"{bus}/{rule}"
    return f"arn:aws:events:{region}:{account}:rule/{path}"


def archive_arn(region: str, account: str, archive: str) -> str:
    return f"arn:aws:events:{region}:{account}:archive/{archive}"


def replay_arn(region: str, account: str, replay: str) -> str:
    return f"arn:aws:events:{region}:{account}:replay/{replay}"
