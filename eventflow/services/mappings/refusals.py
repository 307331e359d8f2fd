"""What Lambda says when it refuses an event source mapping."""

from __future__ import annotations

from eventflow.errors import ServiceError


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message, 400, Type="User")


def absent(parameter: str) -> ServiceError:
    return invalid(f"eventflow does not have the parameter {parameter} yet; leave it out.")


def unsupported(parameter: str) -> ServiceError:
    """For a parameter that goes with another kind of event source."""
    return invalid(f"Unsupported {parameter} parameter for given event source mapping type.")


def unknown_mapping() -> ServiceError:
    return ServiceError("ResourceNotFoundException", "The resource you requested does not exist.", 404, Type="User")


def in_use(verb: str) -> ServiceError:
    return ServiceError("ResourceInUseException", f"Cannot {verb} the event source mapping because it is in use.", 400, Type="User")


def duplicate(kind: str, source: str, function: str, uuid: str) -> ServiceError:
    rest = f'(" {source} ") and function (" {function} ")'
    end = f"already exists. Please update or delete the existing mapping with UUID {uuid}"
    text = f"An event source mapping with SQS arn {rest} {end}" if kind == "queue" else f"The event source arn {rest} provided mapping {end}"
    return ServiceError("ResourceConflictException", text, 409, Type="User")


def declared(uuid: str, trigger: str, function: str) -> ServiceError:
    return ServiceError(
        "ResourceConflictException",
        f"The event source mapping {uuid} is declared by the application, as the trigger {trigger} of its function {function}: change it there.",
        409,
        Type="User",
    )
