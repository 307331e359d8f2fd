"""The CORS configuration of an HTTP API or a function's URL, which templates write alike."""

from __future__ import annotations

from typing import Any

from eventflow.cors_members import CORS_MEMBERS
from eventflow.sam.properties import Properties


def cors_options(said: Properties, member: str) -> dict[str, Any]:
    """What ``member`` says, as the option ``cors``; nothing where the template has none. What AWS refuses is refused where it is taken up."""
    if member not in said:
        return {}
    cors = said.at(member)
    given = {option: cors.take(name) for name, option in CORS_MEMBERS.items()}
    given |= {"max_age": cors.number("MaxAge"), "allow_credentials": cors.truth("AllowCredentials") or None}
    return {"cors": {option: value for option, value in given.items() if value is not None}}
