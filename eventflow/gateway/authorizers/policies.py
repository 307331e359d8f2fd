"""IAM policies as Lambda authorizers answer them, applied to the ARN of the method that was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote

from eventflow.gateway.apis import Api

ACTION = "execute-api:invoke"
VERSIONS = ("2012-10-17", "2008-10-17")
MEMBERS = frozenset(("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource"))
MOST_STATEMENTS = 500


class Malformed(Exception):
    """An authorizer's answer that says nothing, or something that nothing here would enforce; the text says why, for the log."""


class Decision(Enum):
    ALLOW = "allow"
    DENY = "explicit deny"
    NOT_ALLOWED = "implicit deny"


@dataclass(frozen=True, slots=True)
class Statement:
    allows: bool
    actions: tuple[str, ...]
    every_action_but: bool
    resources: tuple[str, ...]
    every_resource_but: bool

    def covers(self, arn: str) -> bool:
        named = any(matches(pattern.lower(), ACTION) for pattern in self.actions)
        if named is self.every_action_but:
            return False
        return any(arn_matches(pattern, arn) for pattern in self.resources) is not self.every_resource_but


@dataclass(frozen=True, slots=True)
class Policy:
    """An explicit deny goes before any allow, and what nothing allows is denied ("Policy evaluation logic", IAM User Guide)."""

    statements: tuple[Statement, ...]

    def decide(self, arn: str) -> Decision:
        allowed = False
        for statement in self.statements:
            if (allowed and statement.allows) or not statement.covers(arn):
                continue
            if not statement.allows:
                return Decision.DENY
            allowed = True
        return Decision.ALLOW if allowed else Decision.NOT_ALLOWED


def read_policy(document: Any) -> Policy:
    """Raises Malformed, also for conditions and variables: a policy that is enforced in part would allow too much, or deny too little."""
    if not isinstance(document, Mapping):
        raise Malformed(f"policyDocument is an object, and not {type(document).__name__}")
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise Malformed(f"policyDocument has the Version {document['Version']!r}; there are {' and '.join(VERSIONS)}")
    unknown = document.keys() - {"Version", "Id", "Statement"}
    if unknown:
        raise Malformed(f"policyDocument has the member {min(unknown)!r}")
    statements = document.get("Statement")
    found = [statements] if isinstance(statements, Mapping) else statements
    if not isinstance(found, list) or not 0 < len(found) <= MOST_STATEMENTS:
        raise Malformed("policyDocument has no Statement")
    return Policy(tuple(statement_of(one) for one in found))


def statement_of(value: Any) -> Statement:
    if not isinstance(value, Mapping):
        raise Malformed(f"a Statement is an object, and not {type(value).__name__}")
    unknown = value.keys() - MEMBERS
    if unknown:
        raise Malformed(f"a Statement has the member {min(unknown)!r}, which is not supported here; nothing would enforce it")
    if value.get("Effect") not in ("Allow", "Deny"):
        raise Malformed(f"the Effect of a Statement is Allow or Deny, and not {value.get('Effect')!r}")
    actions, other_actions = one_of(value, "Action")
    resources, other_resources = one_of(value, "Resource")
    if any("${" in resource for resource in resources):
        raise Malformed("a Resource has a policy variable, which is not supported here")
    return Statement(value["Effect"] == "Allow", actions, other_actions, resources, other_resources)


def one_of(value: Mapping[str, Any], name: str) -> tuple[tuple[str, ...], bool]:
    """The texts of a member, or those of its opposite and True."""
    opposite = f"Not{name}"
    if (name in value) is (opposite in value):
        raise Malformed(f"a Statement has either {name} or {opposite}")
    given = value[name] if name in value else value[opposite]
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise Malformed(f"{name} is a text or a list of texts, and not {given!r}")
    return tuple(found), opposite in value


def arn_matches(pattern: str, arn: str) -> bool:
    """Part by part, as ARNs are compared: a ``*`` in one part does not reach into the next. Only the last part has more to match."""
    parts, wanted = arn.split(":", 5), pattern.split(":", 5)
    if len(wanted) < len(parts):
        return matches(pattern, arn)
    return all(matches(one, part) for one, part in zip(wanted, parts, strict=True))


def matches(pattern: str, text: str) -> bool:
    """``*`` is any text, ``?`` any character. Takes at most the product of both lengths, whatever the pattern."""
    at, place, star, mark = 0, 0, -1, 0
    while at < len(text):
        if place < len(pattern) and pattern[place] == "*":
            star, mark = place, at
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", text[at]):
            place, at = place + 1, at + 1
        elif star >= 0:
            mark += 1
            place, at = star + 1, mark
        else:
            return False
    return not pattern[place:].strip("*")


UNUSUAL = re.compile(r"[^A-Za-z0-9/._~!'()+,;=:@&-]")


def method_arn(region: str, account: str, api: Api, method: str, path: str) -> str:
    """The ARN of what a request asks for. What means something in a policy (``*``, ``?``, ``$``) is percent-encoded, so that an authorizer which
    answers with the very ARN that it was asked for allows this path and no others."""
    name = quote(path.removeprefix("/"), safe="/-._~!'()+,;=:@&") if UNUSUAL.search(path) else path.removeprefix("/")
    return f"arn:aws:execute-api:{region}:{account}:{api.id}/{api.stage.name}/{method}/{name}"
