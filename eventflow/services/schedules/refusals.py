"""What Scheduler says when it refuses something."""

from __future__ import annotations

from eventflow.errors import ServiceError


def invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def no_schedule(name: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"Schedule {name} does not exist.", 404)


def no_group(name: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"Schedule group {name} does not exist.", 404)


def exists(what: str, name: str) -> ServiceError:
    return ServiceError("ConflictException", f"{what} {name} already exists.", 409)
