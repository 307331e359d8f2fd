"""Cross-origin rules of buckets: what S3 takes for one, and which rule lets a browser's request through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eventflow.errors import ServiceError

METHODS = ("GET", "PUT", "HEAD", "POST", "DELETE")
MOST_RULES = 100
LONGEST_ID = 255
#: What an answer depends on, so that no cache gives it to another origin.
VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a browser asks: may a page of ``origin`` send this ``method`` with these ``headers`` (lower case)?"""

    origin: str
    method: str
    headers: tuple[str, ...] = ()


def check_rules(rules: Sequence[Mapping[str, Any]]) -> None:
    """Raise what S3 raises for rules that it does not take."""
    if not 1 <= len(rules) <= MOST_RULES:
        raise ServiceError("MalformedXML", f"The XML you provided was not well-formed: a CORS configuration has 1 to {MOST_RULES} rules.")
    for rule in rules:
        for method in rule["AllowedMethods"]:
            if method not in METHODS:
                raise invalid(f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
        for member, name in (("AllowedOrigins", "AllowedOrigin"), ("AllowedHeaders", "AllowedHeader")):
            for value in rule.get(member) or ():
                if value.count("*") > 1:
                    raise invalid(f'{name} "{value}" can not have more than one wildcard.')
        for value in rule.get("ExposeHeaders") or ():
            if "*" in value:
                raise invalid(f'ExposeHeader "{value}" contains wildcard. We currently do not support wildcard for ExposeHeader.')
        if len(rule.get("ID") or "") > LONGEST_ID:
            raise invalid(f"The ID of a CORS rule can not be longer than {LONGEST_ID} characters.")


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidRequest", message)


def allowing(rules: Sequence[Mapping[str, Any]], asked: Asked) -> Mapping[str, Any] | None:
    """The first rule that allows all that is asked."""
    for rule in rules:
        allowed = [header.lower() for header in rule.get("AllowedHeaders") or ()]
        if (
            asked.method in rule["AllowedMethods"]
            and any(matches(pattern, asked.origin) for pattern in rule["AllowedOrigins"])
            and all(any(matches(pattern, header) for pattern in allowed) for header in asked.headers)
        ):
            return rule
    return None


def matches(pattern: str, text: str) -> bool:
    """Whether a text is the pattern, whose one ``*`` stands for anything."""
    head, star, tail = pattern.partition("*")
    if not star:
        return text == pattern
    return len(text) >= len(head) + len(tail) and text.startswith(head) and text.endswith(tail)


def answer_headers(rule: Mapping[str, Any], asked: Asked) -> dict[str, str]:
    """The headers by which a browser learns what a rule allows."""
    everybody = "*" in rule["AllowedOrigins"]
    headers = {
        "access-control-allow-origin": "*" if everybody else asked.origin,
        "access-control-allow-methods": ", ".join(rule["AllowedMethods"]),
        "vary": VARY,
    }
    if not everybody:
        headers["access-control-allow-credentials"] = "true"
    if asked.headers:
        headers["access-control-allow-headers"] = ", ".join(asked.headers)
    if rule.get("ExposeHeaders"):
        headers["access-control-expose-headers"] = ", ".join(rule["ExposeHeaders"])
    if rule.get("MaxAgeSeconds") is not None:
        headers["access-control-max-age"] = str(rule["MaxAgeSeconds"])
    return headers
