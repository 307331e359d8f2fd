"""The ServiceErrors that tables answer with, under the names and in the words of DynamoDB."""

from __future__ import annotations

from eventflow.errors import ServiceError

PARAMETERS_INVALID = "One or more parameter values were invalid: "


def invalid(message: str) -> ServiceError:
    """A ValidationException: the request can never succeed as it is."""
    return ServiceError("ValidationException", message)


def invalid_parameters(message: str) -> ServiceError:
    return invalid(PARAMETERS_INVALID + message)
