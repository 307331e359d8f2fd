"""Lines of access logs: what a format asks for, compiled once, and what each variable is of a request that was answered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventflow.errors import SettingError
from eventflow.gateway.events import resource_id
from eventflow.gateway.request import quoted
from eventflow.gateway.seams import Answer, Findings

if TYPE_CHECKING:
    from eventflow.gateway.apis import Api, Route
    from eventflow.gateway.request import Request

VARIABLE = re.compile(r"\$context\.([A-Za-z0-9_]+(?:\.[A-Za-z0-9_-]+)*)")
#: AWS: a format has 3 KB at most.
LONGEST_FORMAT = 3072
#: Of a value that a client sent, so much is written.
LONGEST_VALUE = 4096
ABSENT = "-"
#: What has spaces of its own, and is not the client's.
SPACED = frozenset(("requestTime", "routeKey"))
#: Kept from a log by us: whoever reads it could use them.
SECRET = {"identity.apiKey": "identity.apiKeyId"}


@dataclass(frozen=True, slots=True)
class Answered:
    """A request with its answer. ``time`` is the common log format's, ``seconds`` how long it took."""

    api: Api
    account: str
    time: str
    request: Request
    route: Route | None
    findings: Findings
    answer: Answer
    seconds: float


Value = Callable[[Answered], Any]


def length(one: Answered) -> Any:
    if one.answer.body:
        return len(one.answer.body)
    return next((value.decode("latin-1") for name, value in one.answer.headers if name == b"content-length"), 0)


def request_line(one: Answered) -> str:
    target = f"{one.request.raw_path}?{one.request.query}" if one.request.query else one.request.raw_path
    return f"{one.request.method} {target} HTTP/{one.request.http_version}"


def identity(name: str) -> Value:
    return lambda one: one.findings.identity.get(name)


def iam(name: str, of_rest: str) -> Value:
    """Who signed: REST APIs have it in the identity, HTTP APIs in the authorizer."""
    return lambda one: one.findings.identity.get(of_rest) or property_of(one.findings.authorizer, "iam", name)


def logged(name: str) -> Value:
    return lambda one: one.findings.log.get(name)


def property_of(found: Mapping[str, Any] | None, *path: str) -> Any:
    value: Any = found
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def resource_path(one: Answered) -> Any:
    return one.route.path if one.route is not None else None


#: "Variables for access logging" of both kinds of API, as far as there is something to tell.
VARIABLES: Mapping[str, Value] = {
    "accountId": lambda one: one.account,
    "apiId": lambda one: one.api.id,
    "authorizer.error": logged("authorizer.error"),
    "authorizer.latency": logged("authorizer.latency"),
    "authorizer.integrationLatency": logged("authorizer.integrationLatency"),
    "authorizer.integrationStatus": logged("authorizer.integrationStatus"),
    "authorizer.requestId": logged("authorizer.requestId"),
    "authorizer.status": logged("authorizer.status"),
    "customDomain.basePathMatched": lambda one: one.api.base_path,
    "connectionId": logged("connectionId"),
    "domainName": lambda one: one.request.domain,
    "domainPrefix": lambda one: one.request.domain.partition(".")[0],
    "error.message": lambda one: one.answer.message,
    "error.messageString": lambda one: None if one.answer.message is None else quoted(one.answer.message),
    "error.responseType": lambda one: one.answer.kind,
    "extendedRequestId": lambda one: one.request.request_id.replace("-", "")[-16:],
    "httpMethod": lambda one: one.request.method,
    "identity.accessKey": iam("accessKey", "accessKey"),
    "identity.accountId": iam("accountId", "accountId"),
    "identity.apiKeyId": identity("apiKeyId"),
    "identity.caller": iam("callerId", "caller"),
    "identity.clientCert.clientCertPem": lambda one: property_of(one.findings.identity, "clientCert", "clientCertPem"),
    "identity.clientCert.subjectDN": lambda one: certificate(one, "subjectDN"),
    "identity.clientCert.issuerDN": lambda one: certificate(one, "issuerDN"),
    "identity.clientCert.serialNumber": lambda one: certificate(one, "serialNumber"),
    "identity.clientCert.validity.notBefore": lambda one: property_of(certificate(one, "validity"), "notBefore"),
    "identity.clientCert.validity.notAfter": lambda one: property_of(certificate(one, "validity"), "notAfter"),
    "identity.sourceIp": lambda one: one.request.source_ip,
    "identity.user": iam("userId", "user"),
    "identity.userAgent": lambda one: one.request.header_map.get("user-agent"),
    "identity.userArn": iam("userArn", "userArn"),
    "integrationErrorMessage": logged("integrationErrorMessage"),
    "integration.error": logged("integrationErrorMessage"),
    "integration.latency": logged("integrationLatency"),
    "integrationLatency": logged("integrationLatency"),
    "path": lambda one: one.request.path,
    "protocol": lambda one: f"HTTP/{one.request.http_version}",
    "requestId": lambda one: one.request.request_id,
    "requestTime": lambda one: one.time,
    "requestTimeEpoch": lambda one: int(one.request.received * 1000),
    "resourceId": lambda one: None if one.route is None else resource_id(one.api, one.route.path),
    "resourcePath": resource_path,
    "responseLatency": lambda one: round(one.seconds * 1000),
    "responseLength": length,
    "eventType": logged("eventType"),
    "messageId": logged("messageId"),
    "routeKey": lambda one: one.route.key if one.route is not None else None,
    "stage": lambda one: one.api.stage.name,
    "status": lambda one: one.answer.status,
}

#: For our own formats, beside AWS's: what their fields are called by everybody else.
OWN: Mapping[str, Value] = {
    "own.requestLine": request_line,
    "own.referer": lambda one: one.request.header_map.get("referer"),
    "own.user": lambda one: one.findings.identity.get("user") or property_of(one.findings.authorizer, "principalId"),
}

COMMON = '$context.identity.sourceIp - $context.own.user [$context.requestTime] "$context.own.requestLine" $context.status $context.responseLength'
JSON_FIELDS = {
    "requestId": "requestId",
    "ip": "identity.sourceIp",
    "requestTime": "requestTime",
    "httpMethod": "httpMethod",
    "path": "path",
    "routeKey": "routeKey",
    "status": "status",
    "protocol": "protocol",
    "responseLength": "responseLength",
    "responseLatency": "responseLatency",
    "userAgent": "identity.userAgent",
    "error": "error.message",
}
FORMATS = {
    "common": COMMON,
    "combined": f'{COMMON} "$context.own.referer" "$context.identity.userAgent"',
    "json": json.dumps({name: f"$context.{variable}" for name, variable in JSON_FIELDS.items()}, separators=(",", ":")),
}


class LineFormat:
    """A compiled format. Whatever a client sends stays inside its field: quotes, backslashes, control characters and all that is not ASCII are
    written as JSON escapes, outside of quotes spaces are too."""

    def __init__(self, where: str, text: str) -> None:
        own = text in FORMATS
        text = FORMATS.get(text, text)
        check(where, text)
        self._parts: list[tuple[str, Value, bool]] = []
        place = 0
        inside = False
        for match in VARIABLE.finditer(text):
            literal = text[place : match.start()]
            inside ^= literal.count('"') % 2 == 1
            self._parts.append((literal, variable(where, match[1], own), inside or match[1] in SPACED))
            place = match.end()
        if not self._parts:
            raise SettingError(
                f"{where}: access_log={text!r} is refused: it takes {', '.join(FORMATS)}, or a format with variables such as $context.status."
            )
        self._tail = text[place:] + "\n"

    def line(self, one: Answered) -> bytes:
        pieces = []
        for literal, value, spaces in self._parts:
            pieces.append(literal)
            pieces.append(written(value(one), spaces))
        pieces.append(self._tail)
        return "".join(pieces).encode("ascii", "backslashreplace")


def check(where: str, text: str) -> None:
    if len(text.encode()) > LONGEST_FORMAT or "\n" in text or "\r" in text:
        raise SettingError(f"{where}: access_log is refused: a format is one line of at most {LONGEST_FORMAT} bytes.")
    for match in re.finditer(r"\$(?!context\.)\w*", text):
        raise SettingError(f"{where}: access_log: {match[0]!r} is refused: variables are written as $context.status.")


def variable(where: str, name: str, own: bool) -> Value:
    if name in VARIABLES:
        return VARIABLES[name]
    if own and name in OWN:
        return OWN[name]
    if name in SECRET:
        raise SettingError(f"{where}: access_log: $context.{name} is refused: keys are not written into logs; $context.{SECRET[name]} names the key.")
    first, _, rest = name.partition(".")
    if first == "authorizer" and rest:
        return authorizer(rest)
    raise SettingError(f"{where}: access_log: $context.{name} is refused: there is no such variable here; there are: {', '.join(VARIABLES)}.")


def authorizer(name: str) -> Value:
    """A claim, or a member of a Lambda authorizer's context."""
    if name.startswith("claims."):
        claim = name.removeprefix("claims.")
        return lambda one: property_of(one.findings.authorizer, "jwt", "claims", claim) or property_of(one.findings.authorizer, "claims", claim)
    return lambda one: property_of(one.findings.authorizer, name) or property_of(one.findings.authorizer, "lambda", name)


def certificate(one: Answered, name: str) -> Any:
    return property_of(one.findings.identity, "clientCert", name) or property_of(one.findings.authentication, "clientCert", name)


def written(value: Any, spaces: bool) -> str:
    if value is None or value == "":
        return ABSENT
    if isinstance(value, int):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value)
    text = quoted(text[:LONGEST_VALUE])[1:-1]
    return text if spaces else text.replace(" ", "\\u0020")
