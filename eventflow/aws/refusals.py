"""What AWS calls a refused signature, and a request that came at a busy moment: each family of services has its own names and statuses."""

from __future__ import annotations

from eventflow.aws.sigv4 import Reason, Refused
from eventflow.errors import Overloaded, ServiceError

Name = tuple[str, int]

S3: dict[Reason, Name] = {
    Reason.MISSING: ("AccessDenied", 403),
    Reason.INCOMPLETE: ("AuthorizationHeaderMalformed", 400),
    Reason.INCOMPLETE_QUERY: ("AuthorizationQueryParametersError", 400),
    Reason.UNSUPPORTED: ("InvalidRequest", 400),
    Reason.UNKNOWN_KEY: ("InvalidAccessKeyId", 403),
    Reason.MISMATCH: ("SignatureDoesNotMatch", 403),
    Reason.SKEWED: ("RequestTimeTooSkewed", 403),
    Reason.EXPIRED: ("AccessDenied", 403),
    Reason.NOT_SIGNED: ("AccessDenied", 403),
    Reason.PAYLOAD_MISSING: ("InvalidRequest", 400),
    Reason.PAYLOAD_INVALID: ("InvalidArgument", 400),
    Reason.PAYLOAD_MISMATCH: ("XAmzContentSHA256Mismatch", 400),
}
QUERY: dict[Reason, Name] = {
    Reason.MISSING: ("MissingAuthenticationToken", 403),
    Reason.INCOMPLETE: ("IncompleteSignature", 400),
    Reason.INCOMPLETE_QUERY: ("IncompleteSignature", 400),
    Reason.UNSUPPORTED: ("IncompleteSignature", 400),
    Reason.UNKNOWN_KEY: ("InvalidClientTokenId", 403),
    Reason.MISMATCH: ("SignatureDoesNotMatch", 403),
    Reason.SKEWED: ("RequestExpired", 400),
    Reason.EXPIRED: ("RequestExpired", 400),
    Reason.NOT_SIGNED: ("SignatureDoesNotMatch", 403),
    Reason.PAYLOAD_MISSING: ("SignatureDoesNotMatch", 403),
    Reason.PAYLOAD_INVALID: ("SignatureDoesNotMatch", 403),
    Reason.PAYLOAD_MISMATCH: ("SignatureDoesNotMatch", 403),
}
#: The JSON services say "Exception" at the end and put every wrong or stale signature under one name.
JSON: dict[Reason, Name] = dict.fromkeys(Reason, ("InvalidSignatureException", 400)) | {
    Reason.MISSING: ("MissingAuthenticationTokenException", 400),
    Reason.INCOMPLETE: ("IncompleteSignatureException", 400),
    Reason.INCOMPLETE_QUERY: ("IncompleteSignatureException", 400),
    Reason.UNSUPPORTED: ("IncompleteSignatureException", 400),
    Reason.UNKNOWN_KEY: ("UnrecognizedClientException", 400),
}
REST_JSON: dict[Reason, Name] = {reason: (code, 403) for reason, (code, _) in JSON.items()}
FAMILIES = {"s3": S3, "query": QUERY, "json": JSON, "rest-json": REST_JSON}


def service_error(refused: Refused, family: str) -> ServiceError:
    code, status = FAMILIES[family][refused.reason]
    return ServiceError(code, refused.message, status, **(refused.details if family == "s3" else {}))


def throttled(error: Overloaded, family: str) -> ServiceError:
    """The names that AWS's SDKs wait and try again after."""
    match family:
        case "s3":
            return ServiceError("SlowDown", str(error), 503)
        case "rest-json":  # Lambda
            members = {"Reason": "CallerRateLimitExceeded", "Type": "User", "retryAfterSeconds": "1"}
            return ServiceError("TooManyRequestsException", str(error), 429, **members)
    return ServiceError("ThrottlingException", str(error), 400)
