"""Files of a bucket as answers of an HTTP API, with their types, caching and safety headers."""

from __future__ import annotations

import base64
import mimetypes
from typing import Any

from botocore.exceptions import ClientError

INDEX = "index.html"
#: A function's response has room for 6 MB, and Base64 takes a third more.
LARGEST_FILE = 4 * 1024 * 1024
TEXT = ("text/", "application/json", "image/svg+xml")
UNKNOWN = "binary/octet-stream"
#: Scripts and styles come from the bucket alone: what somebody types can never become one.
POLICY = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
SAFETY = {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def answer_file(s3: Any, bucket: str, event: dict[str, Any]) -> dict[str, Any]:
    """The file that the path variable ``file`` names, or the index; 304 for one that the browser has, 404 for one that is not there."""
    key = (event.get("pathParameters") or {}).get("file") or INDEX
    known = event["headers"].get("if-none-match")
    try:
        found = s3.get_object(Bucket=bucket, Key=key, **({"IfNoneMatch": known} if known else {}))
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 304:
            return {"statusCode": 304, "headers": {**SAFETY, "etag": error.response["ResponseMetadata"]["HTTPHeaders"]["etag"]}}
        if status >= 500:
            raise
        return missing(key)
    with found["Body"] as body:
        if found["ContentLength"] > LARGEST_FILE:
            raise ValueError(f"{bucket}/{key} has {found['ContentLength']} bytes; a function answers with up to {LARGEST_FILE}.")
        content: bytes = body.read()
    return filled(content, type_of(key, found["ContentType"]), found["ETag"])


def filled(content: bytes, content_type: str, etag: str) -> dict[str, Any]:
    # "no-cache" lets the browser keep the file, and has it ask each time whether it is still the same.
    headers = {**SAFETY, "content-type": content_type, "etag": etag, "cache-control": "no-cache"}
    if content_type.startswith(TEXT):
        return {"statusCode": 200, "headers": headers, "body": content.decode()}
    return {"statusCode": 200, "headers": headers, "body": base64.b64encode(content).decode(), "isBase64Encoded": True}


def type_of(key: str, stored: str) -> str:
    """What the bucket says, or else what the name says: a file that was uploaded without a type has none."""
    found = stored if stored not in (UNKNOWN, "application/octet-stream") else mimetypes.guess_type(key)[0] or UNKNOWN
    if found == "application/javascript":  # its name before RFC 9239, which is still about
        found = "text/javascript"
    return f"{found}; charset=utf-8" if found.startswith("text/") and "charset" not in found else found


def missing(key: str) -> dict[str, Any]:
    return {"statusCode": 404, "headers": {**SAFETY, "content-type": "text/plain; charset=utf-8"}, "body": f"There is no {key[:200]!a} here.\n"}
