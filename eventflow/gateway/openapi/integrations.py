"""``x-amazon-apigateway-integration``: what a route leads to, written and read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from eventflow.gateway.apis import LONGEST, LONGEST_STREAM
from eventflow.gateway.openapi.places import Place

INVOCATIONS = re.compile(
    r"arn:aws[a-z-]*:apigateway:[a-z0-9-]+:lambda:path/(?:2015-03-31/functions/(?P<whole>.+)/invocations|"
    r"2021-11-15/functions/(?P<streamed>.+)/response-streaming-invocations)"
)
FUNCTION_ARN = re.compile(r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:([A-Za-z0-9_-]+)(?::(.+))?")
FUNCTION_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LITERAL = re.compile(r"'([^']*)'")
HEADER = "method.response.header."
#: What says nothing here, or is as AWS does not use it with a proxy integration either.
IDLE: Mapping[str, tuple[Any, ...]] = {
    "connectionType": ("INTERNET",),
    "passthroughBehavior": ("when_no_match", "WHEN_NO_MATCH", "when_no_templates", "WHEN_NO_TEMPLATES", "never", "NEVER"),
    "contentHandling": ("CONVERT_TO_TEXT",),
    "cacheKeyParameters": ([],),
}
#: What every integration may say.
COMMON = ("type", "timeoutInMillis", "passthroughBehavior", "contentHandling", "cacheKeyParameters", "cacheNamespace", "responses")
KNOWN = {
    "aws_proxy": (*COMMON, "uri", "httpMethod", "payloadFormatVersion", "connectionType", "responseTransferMode"),
    "http_proxy": (*COMMON, "uri", "httpMethod", "payloadFormatVersion", "connectionType", "requestParameters"),
    "mock": (*COMMON, "requestTemplates"),
}
PAYLOADS = {"HTTP": "2.0", "REST": "1.0"}
MODES = {"BUFFERED": False, "STREAM": True}


def invocation_uri(account: str, region: str, function: str, *, stream: bool = False) -> str:
    arn = f"arn:aws:lambda:{region}:{account}:function:{function}"
    if stream:
        return f"arn:aws:apigateway:{region}:lambda:path/2021-11-15/functions/{arn}/response-streaming-invocations"
    return f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{arn}/invocations"


def written(
    integration: Mapping[str, Any], protocol: str, method: str, account: str, region: str, timeout: float | None, *, stream: bool = False
) -> dict[str, Any]:
    """An integration as the declaring side has it (``type`` ``function``, ``http`` or ``mock``) in AWS's words."""
    if integration["type"] == "function":
        found: dict[str, Any] = {
            "type": "aws_proxy",
            "httpMethod": "POST",
            "uri": invocation_uri(account, region, integration["function"], stream=stream),
            "payloadFormatVersion": PAYLOADS[protocol],
        }
        if stream:
            found["responseTransferMode"] = "STREAM"
    elif integration["type"] == "http":
        found = {"type": "http_proxy", "httpMethod": method, "uri": integration["to"]}
    else:
        status = integration.get("status", 200)
        answer: dict[str, Any] = {"statusCode": str(status)}
        if integration.get("headers"):
            answer["responseParameters"] = {HEADER + name: f"'{value}'" for name, value in integration["headers"].items()}
        if integration.get("body"):
            answer["responseTemplates"] = {"application/json": integration["body"]}
        template = json.dumps({"statusCode": status})
        found = {"type": "mock", "requestTemplates": {"application/json": template}, "responses": {"default": answer}}
    if timeout is not None:
        found["timeoutInMillis"] = round(timeout * 1000)
    return found


def read(place: Place, protocol: str, method: str) -> dict[str, Any]:
    """What of a route's options the integration is, with ``timeout`` in seconds. Raises SettingError at the member that cannot be."""
    kind = place.text("type").lower()
    if kind not in KNOWN:
        raise place.at("type").refused("it takes aws_proxy, http_proxy or mock")
    place.only(KNOWN[kind])
    for name, idle in IDLE.items():
        if name in place.value and place.value[name] not in idle:
            raise place.at(name).refused("there is nothing else")
    stream = MODES.get(place.value.get("responseTransferMode", "BUFFERED"))
    if stream is None or (stream and protocol != "REST"):
        raise place.at("responseTransferMode").refused("it takes BUFFERED, or STREAM for functions of REST APIs")
    most = round((LONGEST_STREAM if stream else LONGEST[protocol]) * 1000)
    timeout = place.value.get("timeoutInMillis")
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int) or not 50 <= timeout <= most):
        raise place.at("timeoutInMillis").refused(f"it takes a whole number of milliseconds from 50 to {most}")
    found = {
        "aws_proxy": lambda: to_function(place, protocol),
        "http_proxy": lambda: to_server(place, method),
        "mock": lambda: mocked(place, protocol),
    }
    options: dict[str, Any] = {"integration": found[kind]()}
    if timeout is not None:
        options["timeout"] = timeout / 1000
    if stream:
        options["stream"] = True
    return options


def to_function(place: Place, protocol: str) -> dict[str, Any]:
    if str(place.value.get("httpMethod", "POST")).upper() != "POST":
        raise place.at("httpMethod").refused("functions are invoked with POST")
    payload = place.value.get("payloadFormatVersion", PAYLOADS[protocol])
    if str(payload) != PAYLOADS[protocol]:
        raise place.at("payloadFormatVersion").refused(f"functions of {protocol} APIs get payload {PAYLOADS[protocol]} here")
    return {"type": "function", "function": function_of(place.at("uri"))}


def function_of(place: Place) -> str:
    """The function's name in its name, its ARN or the address of its invocations."""
    text = place.value if isinstance(place.value, str) else ""
    found = INVOCATIONS.fullmatch(text)
    arn = FUNCTION_ARN.fullmatch((found["whole"] or found["streamed"]) if found else text)
    if arn is not None and arn[2] in (None, "$LATEST"):
        return arn[1]
    if arn is not None:
        raise place.refused(f"functions have no versions and aliases here, such as {arn[2]!r}")
    if not FUNCTION_NAME.fullmatch(text):
        raise place.refused("it takes a function's name, its ARN, or the ARN of its invocations")
    return text


def to_server(place: Place, method: str) -> dict[str, Any]:
    asked = place.value.get("httpMethod", method)
    if str(asked).upper() != method:
        raise place.at("httpMethod").refused(f"requests are passed on with their own method, here {method}")
    for name, value in place.value.get("requestParameters", {}).items():
        variable = name.removeprefix("integration.request.path.")
        if value != f"method.request.path.{variable}":
            raise place.at("requestParameters").at(name).refused("only variables of the path are mapped, each to itself")
    return {"type": "http", "to": place.text("uri")}


def mocked(place: Place, protocol: str) -> dict[str, Any]:
    if protocol != "REST":
        raise place.at("type").refused("only REST APIs have mock integrations")
    templates = place.value.get("requestTemplates", {"application/json": '{"statusCode": 200}'})
    try:
        status = json.loads(templates["application/json"])["statusCode"]
    except (ValueError, KeyError, TypeError):
        raise place.at("requestTemplates").refused("""it takes {"application/json": "{\\"statusCode\\": 200}"}, without a mapping""") from None
    answers = place.value.get("responses", {"default": {"statusCode": str(status)}})
    if len(answers) != 1:
        raise place.at("responses").refused("a mock has one response")
    name, answer = next(iter(answers.items()))
    at = place.at("responses").at(name)
    at.only(("statusCode", "responseParameters", "responseTemplates"))
    headers = {}
    for parameter, value in answer.get("responseParameters", {}).items():
        literal = LITERAL.fullmatch(str(value))
        if not parameter.startswith(HEADER) or literal is None:
            raise at.at("responseParameters").at(parameter).refused(f"it takes {HEADER}NAME with a literal in single quotes")
        headers[parameter.removeprefix(HEADER)] = literal[1]
    bodies = answer.get("responseTemplates", {})
    if len(bodies) > 1 or any("#" in body or "$" in body for body in bodies.values()):
        raise at.at("responseTemplates").refused("it takes one text, without a mapping")
    for content_type in bodies:
        if content_type != "application/json":
            headers.setdefault("content-type", content_type)
    return {"type": "mock", "status": int(answer.get("statusCode", status)), "body": next(iter(bodies.values()), ""), "headers": headers}
