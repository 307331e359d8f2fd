"""Errors as callers see them, and the headers that every reply has."""

from __future__ import annotations

import logging

from eventflow.aws.body import TooLarge
from eventflow.aws.operation import Call
from eventflow.aws.protocols.dialect import Dialect
from eventflow.aws.protocols.refusal import UnknownOperation, Unreadable
from eventflow.aws.protocols.s3 import host_id
from eventflow.aws.refusals import service_error, throttled
from eventflow.aws.reply import Reply
from eventflow.aws.request import NotText
from eventflow.aws.sigv4 import Refused
from eventflow.errors import Overloaded, ServiceError, StorageError

log = logging.getLogger("eventflow.aws")


def told(error: Exception, dialect: Dialect, call: Call) -> Reply:
    """What the caller is told of an error."""
    return dialect.fault(translated(error, dialect, call), call.request_id)


def finished(reply: Reply, dialect: Dialect, call: Call) -> Reply:
    """The reply with the headers that do not come from its operation's model."""
    reply.headers.update(identifiers(dialect, call.request_id))
    reply.headers.update({header.lower(): value for header, value in call.response_headers.items()})
    return reply


def identifiers(dialect: Dialect, request_id: str) -> dict[str, str]:
    if dialect.family == "s3":
        return {"x-amz-request-id": request_id, "x-amz-id-2": host_id(request_id)}
    return {"x-amzn-requestid": request_id}


def translated(error: Exception, dialect: Dialect, call: Call) -> ServiceError:
    """Any error as the one that the caller sees. What nobody foresaw is a mistake of ours: logged, and told by its request id alone."""
    s3 = dialect.family == "s3"
    match error:
        case ServiceError():
            return error
        case Refused():
            return service_error(error, dialect.family)
        case Unreadable():
            return dialect.refuse(error)
        case UnknownOperation():
            return dialect.unknown(error.message)
        case NotText():
            return ServiceError("InvalidURI" if s3 else "SerializationException", f"Couldn't parse the specified URI: {error}")
        case TooLarge() if s3:
            return ServiceError("MaxMessageLengthExceeded", "Your request was too big.")
        case TooLarge() if dialect.family == "rest-json":
            return ServiceError("RequestEntityTooLargeException", f"Request must be smaller than {error} bytes.", 413)
        case TooLarge():
            return ServiceError("RequestEntityTooLargeException", "Your request was too big.", 413)
        case Overloaded():
            return throttled(error, dialect.family)
        case StorageError():
            log.error("%s:%s could not be stored, request %s: %s", call.service, call.operation, call.request_id, error)
            return ServiceError("ServiceUnavailable", str(error), 503)
    log.error("%s:%s failed, request %s", call.service, call.operation or "?", call.request_id, exc_info=error)
    message = f"The request could not be answered; the log of eventflow has the traceback of request {call.request_id}."
    return ServiceError("InternalError" if s3 else "InternalFailure", message, 500)
