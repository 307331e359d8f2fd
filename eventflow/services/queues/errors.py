"""The errors of the queue service in the words of SQS: names of the service model, or the older ones that SDKs show where the model has none."""

from __future__ import annotations

from eventflow.errors import ServiceError


def no_such_queue() -> ServiceError:
    return ServiceError("QueueDoesNotExist", "The specified queue does not exist.")


def invalid_value(parameter: str, value: object, reason: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", f"Value {value} for parameter {parameter} is invalid. Reason: {reason}")


def invalid(text: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", text)


def missing(parameter: str) -> ServiceError:
    return ServiceError("MissingParameter", f"The request must contain the parameter {parameter}.")


def unknown_attribute(name: str) -> ServiceError:
    return ServiceError("InvalidAttributeName", f"Unknown Attribute {name}.")


def invalid_attribute(name: str, reason: str = "") -> ServiceError:
    return ServiceError("InvalidAttributeValue", f"Invalid value for the parameter {name}." + (f" Reason: {reason}" if reason else ""))


def over_limit(name: str) -> ServiceError:
    return ServiceError("OverLimit", f"Too many messages of the queue {name} are in flight; delete some of those that were received.", 403)


def between(parameter: str, value: int | None, least: int, most: int, reason: str) -> None:
    """Refuse a request parameter outside its range; None (not given) passes."""
    if value is not None and not least <= value <= most:
        raise invalid_value(parameter, value, reason)
