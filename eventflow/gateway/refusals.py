"""The answers that the gateway makes itself: status and text of each gateway response, as HTTP APIs and REST APIs word them."""

from __future__ import annotations

import json
from typing import NamedTuple

from eventflow.gateway.seams import Answer, Refusal


class Wording(NamedTuple):
    """A gateway response: its status, its text, and the value of ``x-amzn-errortype`` that REST APIs send with it."""

    status: int
    message: str | None
    error: str = ""


#: "Gateway response types" of the API Gateway developer guide, with the texts that REST APIs answer.
REST = {
    "ACCESS_DENIED": Wording(403, "User is not authorized to access this resource", "AccessDeniedException"),
    "API_CONFIGURATION_ERROR": Wording(500, "Internal server error", "InternalServerErrorException"),
    "AUTHORIZER_CONFIGURATION_ERROR": Wording(500, None, "AuthorizerConfigurationException"),
    "AUTHORIZER_FAILURE": Wording(500, None, "AuthorizerConfigurationException"),
    "BAD_REQUEST": Wording(400, "Bad request", "BadRequestException"),
    "BAD_REQUEST_BODY": Wording(400, "Invalid request body", "BadRequestException"),
    "BAD_REQUEST_PARAMETERS": Wording(400, "Missing required request parameters", "BadRequestException"),
    "EXPIRED_TOKEN": Wording(403, "The security token included in the request is expired", "ExpiredTokenException"),
    "INCOMPLETE_SIGNATURE": Wording(403, "The request signature does not conform to AWS standards.", "IncompleteSignatureException"),
    "INTEGRATION_FAILURE": Wording(502, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_THROTTLED": Wording(500, "Internal server error", "InternalServerErrorException"),
    "INTEGRATION_TIMEOUT": Wording(504, "Endpoint request timed out", "InternalServerErrorException"),
    "INTEGRATION_UNREACHABLE": Wording(502, "Internal server error", "InternalServerErrorException"),
    "INVALID_API_KEY": Wording(403, "Forbidden", "ForbiddenException"),
    "INVALID_SIGNATURE": Wording(403, "The request signature we calculated does not match the signature you provided.", "InvalidSignatureException"),
    "MISSING_AUTHENTICATION_TOKEN": Wording(403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
    "NOT_FOUND": Wording(403, "Missing Authentication Token", "MissingAuthenticationTokenException"),
    "NO_API": Wording(403, "Forbidden", "ForbiddenException"),
    "OVERLOADED": Wording(503, "Service Unavailable", "ServiceUnavailableException"),
    "QUOTA_EXCEEDED": Wording(429, "Limit Exceeded", "LimitExceededException"),
    "REQUEST_TOO_SLOW": Wording(408, "Request Timeout", "BadRequestException"),
    "REQUEST_TOO_LARGE": Wording(413, "Request Too Long", "RequestTooLargeException"),
    "THROTTLED": Wording(429, "Too Many Requests", "TooManyRequestsException"),
    "UNAUTHORIZED": Wording(401, "Unauthorized", "UnauthorizedException"),
    "UNRECOGNIZED_CLIENT": Wording(403, "The security token included in the request is invalid.", "UnrecognizedClientException"),
    "UNSUPPORTED_MEDIA_TYPE": Wording(415, "Unsupported Media Type", "BadRequestException"),
}

#: What HTTP APIs answer instead; the rest is the same.
HTTP = {
    **REST,
    "ACCESS_DENIED": Wording(403, "Forbidden"),
    "API_CONFIGURATION_ERROR": Wording(500, "Internal Server Error"),
    "AUTHORIZER_CONFIGURATION_ERROR": Wording(500, "Internal Server Error"),
    "AUTHORIZER_FAILURE": Wording(500, "Internal Server Error"),
    "BAD_REQUEST": Wording(400, "Bad Request"),
    "INCOMPLETE_SIGNATURE": Wording(403, "Forbidden"),
    "INTEGRATION_FAILURE": Wording(500, "Internal Server Error"),
    "INTEGRATION_THROTTLED": Wording(503, "Service Unavailable"),
    "INTEGRATION_TIMEOUT": Wording(503, "Service Unavailable"),
    "INTEGRATION_UNREACHABLE": Wording(503, "Service Unavailable"),
    "INVALID_API_KEY": Wording(403, "Forbidden"),
    "INVALID_SIGNATURE": Wording(403, "Forbidden"),
    "MISSING_AUTHENTICATION_TOKEN": Wording(403, "Forbidden"),
    "NOT_FOUND": Wording(404, "Not Found"),
    "NO_API": Wording(404, "Not Found"),
    "REQUEST_TOO_LARGE": Wording(413, "Request Entity Too Large"),
    "UNRECOGNIZED_CLIENT": Wording(403, "Forbidden"),
}

#: What function URLs answer ("Invoking Lambda function URLs").
URL = {
    **HTTP,
    "INTEGRATION_FAILURE": Wording(502, "Internal Server Error"),
    "INTEGRATION_THROTTLED": Wording(429, "Rate Exceeded."),
    "INTEGRATION_TIMEOUT": Wording(504, "Gateway Timeout"),
}
WORDINGS = {"HTTP": HTTP, "REST": REST, "WEBSOCKET": REST, "URL": URL}

JSON_TYPE = (b"content-type", b"application/json")


def worded(refusal: Refusal, protocol: str, request_id: str) -> Answer:
    """A refusal as the API's protocol answers it."""
    wording = WORDINGS[protocol][refusal.kind]
    message = wording.message if refusal.message is None or protocol == "URL" else refusal.message
    separator = ": " if protocol == "REST" and refusal.kind.startswith("INTEGRATION_") else ":"  # these alone are no template's
    body = json.dumps({"Message" if protocol == "URL" else "message": message}, separators=(",", separator)).encode()
    headers = [JSON_TYPE, *refusal.headers, *identified(protocol, request_id)]
    if wording.error and protocol not in ("HTTP", "URL"):
        headers.append((b"x-amzn-errortype", wording.error.encode()))
    return Answer(refusal.status or wording.status, headers, body, kind=refusal.kind, message=message)


def identified(protocol: str, request_id: str) -> list[tuple[bytes, bytes]]:
    """The headers by which a client can name a request: HTTP APIs call theirs otherwise than REST APIs do."""
    return [(b"apigw-requestid" if protocol == "HTTP" else b"x-amzn-requestid", request_id.encode())]
