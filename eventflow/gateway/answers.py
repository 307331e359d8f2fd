"""What functions return, as answers to the client: the rules of both payload formats, and how their mistakes are told."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any

from eventflow.gateway.refusals import JSON_TYPE
from eventflow.gateway.seams import Answer
from eventflow.payload import SCAN

FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: A value with one of these would end the header, and begin whatever the function says (or repeats of a request).
FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
STATUS = re.compile("[0-9]{3}")
#: What describes the connection is the server's own (RFC 9110, 7.6.1), and so is the length.
CONNECTION = frozenset((b"connection", b"content-length", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"))


class Malformed(Exception):
    """A function's response that its payload format does not allow; the text says why, for the log."""


def answer_2(payload: bytes) -> Answer:
    """A response in format 2.0. Without a ``statusCode`` the whole value is the body. Raises Malformed."""
    value = read(payload)
    if not isinstance(value, dict) or "statusCode" not in value:
        return Answer(200, (JSON_TYPE,), value.encode(errors="replace") if isinstance(value, str) else payload)
    headers = fields(value.get("headers"))
    cookies = value.get("cookies")
    if cookies is not None:
        if not isinstance(cookies, list):
            raise Malformed(f"cookies is a list of texts, and not {cookies!r}")
        headers += [(b"set-cookie", field_value("cookies", cookie)) for cookie in cookies]
    return complete(value, headers, b"text/plain; charset=utf-8", loose=True)


def answer_1(payload: bytes, *, binary: bool = True) -> Answer:
    """A response in format 1.0; without ``binary`` a body in Base64 stays what it is. Raises Malformed."""
    value = read(payload)
    if not isinstance(value, dict) or "statusCode" not in value:
        raise Malformed('it is no object with a "statusCode"')
    for name in value:
        if name not in ("statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"):
            raise Malformed(f"it has the member {name!r}, which the format does not know")
    headers = fields(value.get("headers"))
    several = value.get("multiValueHeaders")
    if several is not None:
        if not isinstance(several, dict) or not all(isinstance(values, list) for values in several.values()):
            raise Malformed("multiValueHeaders is an object of lists")
        of_several = [(field_name(name), field_value(name, one)) for name, values in several.items() for one in values]
        headers = [one for one in headers if one not in of_several] + of_several
    return complete(value if binary else {**value, "isBase64Encoded": False}, headers, b"application/json", loose=False)


def read(payload: bytes) -> Any:
    """The value of a response, as what wrote it writes JSON; the general way is for all else."""
    try:
        text = payload.decode()
        value, end = SCAN(text, 0)
        return value if end == len(text) else json.loads(text)
    except StopIteration as error:
        raise Malformed("it is no JSON") from error
    except ValueError as error:
        raise Malformed(f"it is no JSON: {error}") from error


def complete(value: Mapping[str, Any], headers: list[tuple[bytes, bytes]], content_type: bytes, *, loose: bool) -> Answer:
    body, encoded = value.get("body"), value.get("isBase64Encoded", False)
    if body is None:
        content = b""
    elif isinstance(body, str):
        content = decoded(body) if encoded is True else body.encode(errors="replace")
    elif loose:
        content = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
    else:
        raise Malformed(f"body is a text, and not {type(body).__name__}; json.dumps makes one")
    for name, _value in headers:
        if name == b"content-type":
            break
    else:
        headers.append((b"content-type", content_type))
    return Answer(status_of(value["statusCode"]), headers, content)


def status_of(value: Any) -> int:
    """A final one: a client that is told 100 or 101 waits for the answer to come, and takes the next one for it. Raises Malformed."""
    if type(value) is int and 200 <= value <= 599:
        return value
    status = int(value) if isinstance(value, str) and STATUS.fullmatch(value) else value
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise Malformed(f"statusCode takes a whole number such as 200, and not {value!r}")
    return status


def decoded(body: str) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed(f"isBase64Encoded is true, and the body is no Base64: {error}") from error


def fields(headers: Any) -> list[tuple[bytes, bytes]]:
    if headers is None:
        return []
    if not isinstance(headers, dict):
        raise Malformed(f"headers is an object, and not {type(headers).__name__}")
    return [
        (field_name(name), field_value(name, value)) for name, value in headers.items() if name.lower().encode(errors="replace") not in CONNECTION
    ]


def field_name(name: str) -> bytes:
    if not FIELD_NAME.fullmatch(name):
        raise Malformed(f"{name!r} is no name of a header")
    return name.lower().encode()


def field_value(name: str, value: Any) -> bytes:
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, int | float):
        value = str(value)
    if not isinstance(value, str) or FORBIDDEN.search(value):
        raise Malformed(f"the value of the header {name!r} takes one line of text, and not {value!r}")
    try:
        return value.strip(" \t").encode("latin-1")
    except UnicodeEncodeError:
        return value.strip(" \t").encode(errors="replace")
