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


class Pattern:
    """An ARN in a policy. ARNs are compared part by part, so that a ``*`` in one part does not reach into the next; one with fewer parts than an ARN
    has is compared as a whole."""

    __slots__ = ("_parts",)

    def __init__(self, text: str) -> None:
        parts = text.split(":", 5)
        self._parts = [compiled(part) for part in parts] if len(parts) == 6 else [compiled(text)]

    def matches(self, arn: str) -> bool:
        wanted = self._parts
        given = arn.split(":", 5) if len(wanted) == 6 else [arn]
        return all(part.fullmatch(text) is not None for part, text in zip(wanted, given, strict=True))


def compiled(pattern: str) -> re.Pattern[str]:
    """``*`` is any text, ``?`` any character. Each piece between two stars is looked for once, where it first comes (``?>`` never goes back), so that
    no pattern takes long."""
    first, *pieces = [re.escape(piece).replace(r"\?", ".") for piece in pattern.split("*")]
    last = f".*{pieces.pop()}" if pieces else ""
    return re.compile(first + "".join(f"(?>.*?{piece})" for piece in pieces if piece) + last, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """``invokes`` is whether its actions have ``execute-api:Invoke`` among them."""

    allows: bool
    invokes: bool
    resources: tuple[Pattern, ...]
    every_resource_but: bool

    def covers(self, arn: str) -> bool:
        return self.invokes and any(pattern.matches(arn) for pattern in self.resources) is not self.every_resource_but


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
    invokes = any(compiled(action.lower()).fullmatch(ACTION) for action in actions) is not other_actions
    return Statement(value["Effect"] == "Allow", invokes, tuple(Pattern(resource) for resource in resources), other_resources)


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


UNUSUAL = re.compile(r"[^A-Za-z0-9/._~!'()+,;=:@&-]")


def method_arn(region: str, account: str, api: Api, method: str, path: str) -> str:
    """The ARN of what a request asks for. What means something in a policy (``*``, ``?``, ``$``) is percent-encoded, so that an authorizer which
    answers with the very ARN that it was asked for allows this path and no others."""
    name = quote(path.removeprefix("/"), safe="/-._~!'()+,;=:@&") if UNUSUAL.search(path) else path.removeprefix("/")
    return f"arn:aws:execute-api:{region}:{account}:{api.id}/{api.stage.name}/{method}/{name}"
