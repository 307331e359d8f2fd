"""What EventBridge says when it refuses, in its own words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from eventflow.errors import ServiceError


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def unlike(member: str, value: object, constraint: str) -> ServiceError:
    return invalid(f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must {constraint}")


def not_found(what: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", what)


def already_exists(what: str) -> ServiceError:
    return ServiceError("ResourceAlreadyExistsException", what)


def too_many(what: str = "The requested resource exceeds the maximum number allowed.") -> ServiceError:
    return ServiceError("LimitExceededException", what)


def not_there(what: str) -> ServiceError:
    return ServiceError("NotImplemented", f"eventflow does not have {what} of EventBridge; leave it out.", 501)


def refuse_members(given: Mapping[str, Any], members: Iterable[str], where: str = "") -> None:
    """Refuse what is not done here, by name."""
    for member in members:
        if given.get(member):
            raise not_there(where + member)
