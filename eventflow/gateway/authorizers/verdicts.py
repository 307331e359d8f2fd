"""What Lambda authorizers answer: policies and simple responses, as verdicts over requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eventflow.gateway.authorizers.policies import Decision, Malformed, Policy, read_policy

#: AWS: 8 KB for the answer of an authorizer (API Gateway quotas).
LARGEST_ANSWER = 8_192


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer of an authorizer, which may stand for many requests. ``policy`` is None for a simple response; ``allowed`` is then all it says."""

    allowed: bool
    policy: Policy | None
    principal: str | None
    context: Mapping[str, Any] | None
    usage_key: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)

    def decide(self, arn: str) -> Decision:
        if self.policy is not None:
            return self.policy.decide(arn)
        return Decision.ALLOW if self.allowed else Decision.NOT_ALLOWED


def read_verdict(payload: bytes, *, simple: bool, nested: bool) -> Verdict:
    """``nested`` is whether ``context`` may have lists and objects in it, as HTTP APIs let it. Raises Malformed."""
    if len(payload) > LARGEST_ANSWER:
        raise Malformed(f"it has {len(payload)} bytes; {LARGEST_ANSWER} are allowed")
    try:
        answer = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is no JSON: {error}") from error
    if not isinstance(answer, dict):
        raise Malformed(f"it is an object, and not {type(answer).__name__}")
    context = answer.get("context")
    if context is not None and not isinstance(context, dict):
        raise Malformed(f"context is an object, and not {type(context).__name__}")
    texts = {name: text_of(value) for name, value in (context or {}).items() if not isinstance(value, dict | list) and value is not None}
    if not nested and len(texts) < sum(value is not None for value in (context or {}).values()):
        raise Malformed("context has a list or an object in it; REST and WebSocket APIs take texts, numbers and booleans")
    if simple:
        allowed = answer.get("isAuthorized")
        if not isinstance(allowed, bool):
            raise Malformed(f'a simple response has "isAuthorized", which is true or false, and not {allowed!r}')
        return Verdict(allowed, None, None, context, texts=texts)
    principal, usage_key = answer.get("principalId"), answer.get("usageIdentifierKey")
    if not isinstance(principal, str) or not principal:
        raise Malformed(f"principalId is a text, and not {principal!r}")
    if usage_key is not None and not isinstance(usage_key, str):
        raise Malformed(f"usageIdentifierKey is a text, and not {type(usage_key).__name__}")
    return Verdict(False, read_policy(answer.get("policyDocument")), principal, context, usage_key, texts)


def text_of(value: Any) -> str:
    """REST APIs hand all of a context on as text."""
    return value if isinstance(value, str) else json.dumps(value)
