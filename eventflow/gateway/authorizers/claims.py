"""The claims of a token: whether they let it in, and how the function gets to see them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from eventflow.gateway.authorizers.tokens import InvalidToken


def check_claims(claims: Mapping[str, Any], issuer: str, audience: Collection[str], now: float) -> float:
    """What API Gateway checks ("Control access to HTTP APIs with JWT authorizers"); returns when the token expires, in Unix seconds.

    A token without ``exp`` never expires, and is refused. ``client_id`` stands in for an absent ``aud`` alone. Raises InvalidToken.
    """
    if claims.get("iss") != issuer:
        raise InvalidToken("the token does not have a valid issuer")
    audiences = claims.get("aud") if "aud" in claims else claims.get("client_id")
    given = audiences if isinstance(audiences, list) else [audiences]
    if not any(isinstance(one, str) and one in audience for one in given):
        raise InvalidToken("the token does not have a valid audience")
    expires = instant(claims, "exp")
    if expires is None:
        raise InvalidToken("the token has no expiry")
    if expires <= now:
        raise InvalidToken("the token has expired")
    not_before, issued = instant(claims, "nbf"), instant(claims, "iat")
    if not_before is not None and not_before > now:
        raise InvalidToken("the token is not valid yet")
    if issued is not None and issued > now:
        raise InvalidToken("the token was issued in the future")
    return expires


def instant(claims: Mapping[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidToken(f"the token's {name} is no number of seconds")
    return value


def scopes_of(claims: Mapping[str, Any]) -> list[str]:
    """The scopes of ``scope`` or, where that is absent, ``scp``: a text of names or a list of them."""
    value = claims.get("scope", claims.get("scp"))
    if isinstance(value, str):
        return value.split()
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def written(claims: Mapping[str, Any]) -> dict[str, str]:
    """Claims as events have them: all are texts, ``["a", "b"]`` is ``[a b]``, an object is its JSON, and what is null is left out."""
    return {name: text_of(value) for name, value in claims.items() if value is not None}


def text_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if isinstance(value, list):
        return f"[{' '.join(text_of(one) for one in value)}]"
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
