"""S3's older signature, for presigned addresses only: boto3 still makes them in the older regions unless it is told to use version 4."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from eventflow.aws.request import Request
from eventflow.aws.sigv4 import Reason, Refused, compact

#: AWS: "Signing and authenticating REST requests": the subresources that are part of the canonical resource, as SDKs have extended them.
SUBRESOURCES = (
    *("accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location", "logging", "metrics"),
    *("notification", "object-lock", "partNumber", "policy", "replication", "requestPayment", "restore", "select", "select-type", "storageClass"),
    *("tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website"),
)
OVERRIDES = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires")
SIGNED = frozenset((*SUBRESOURCES, *(f"response-{name}" for name in OVERRIDES)))
OWN = frozenset(("AWSAccessKeyId", "Signature", "Expires"))
#: Parameters that the signature does not cover and that only choose what a listing shows. Any other, added to somebody's address, could make it
#: another operation.
MARKERS = ("continuation-token", "key-marker", "marker", "start-after", "version-id-marker")
LISTING = frozenset((*MARKERS, "delimiter", "encoding-type", "fetch-owner", "list-type", "max-keys", "prefix", "x-id"))
COPIED_HEADERS = frozenset(("content-type", "content-md5"))


@dataclass(frozen=True, slots=True)
class OldSignature:
    """What a presigned address says of its own signature; ``expires`` in Unix seconds. It names no region."""

    access_key: str
    value: str
    expires: int
    service: str = "s3"
    region: str = ""


@dataclass(frozen=True, slots=True)
class OldClaim:
    """A presigned address of a known key and in time; whether its signature is right, ``check`` tells."""

    signature: OldSignature
    secret: str
    request: Request
    resource: str

    def check(self) -> None:
        """Compare the signature; it does not cover the body. Raises Refused."""
        to_sign = string_to_sign(self.request, self.signature, self.resource)
        # A bucket alone is signed with a slash at its end by some SDKs and without by others.
        bare = self.resource.count("/") == 1
        candidates = (to_sign, string_to_sign(self.request, self.signature, f"{self.resource}/")) if bare else (to_sign,)
        if not any(hmac.compare_digest(signed(self.secret, text), self.signature.value.encode()) for text in candidates):
            raise Refused(
                Reason.MISMATCH,
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
                AWSAccessKeyId=self.signature.access_key,
                StringToSign=to_sign,
                SignatureProvided=self.signature.value,
            )


def read_old_signature(request: Request) -> OldSignature | None:
    """The signature of a presigned address; None if it has none. Raises Refused."""
    query = request.query
    if not {"AWSAccessKeyId", "Signature"} <= query.keys():
        return None
    expires = query.get("Expires", [""])[0]
    if not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
        raise Refused(Reason.EXPIRED, f"Invalid date (should be seconds since epoch): {expires!r}")
    return OldSignature(query["AWSAccessKeyId"][0], query["Signature"][0], int(expires))


def old_claim(request: Request, signature: OldSignature, resource: str, secrets: Mapping[str, str], now: float) -> OldClaim:
    """All that can be checked except the signature itself. ``resource`` is the path with the bucket. Raises Refused."""
    secret = secrets.get(signature.access_key)
    if secret is None:
        raise Refused(
            Reason.UNKNOWN_KEY,
            f"The access key {signature.access_key!r} does not exist in our records. `eventflow env` prints the key of this daemon.",
            AWSAccessKeyId=signature.access_key,
        )
    if now > signature.expires:
        raise Refused(Reason.EXPIRED, "Request has expired", Expires=compact(signature.expires), ServerTime=compact(now))
    loose = [name for name in request.query if name not in SIGNED | OWN | LISTING | COPIED_HEADERS and not name.lower().startswith("x-amz-")]
    if loose:
        raise Refused(Reason.NOT_SIGNED, f"The signature does not cover these parameters: {', '.join(loose)}. Sign with version 4 (s3v4).")
    return OldClaim(signature, secret, request, resource)


def signed(secret: str, text: str) -> bytes:
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), hashlib.sha1))


def string_to_sign(request: Request, signature: OldSignature, resource: str) -> str:
    headers = request.headers
    amazon = {name.lower(): values[0] for name, values in request.query.items() if name.lower().startswith("x-amz-")}
    amazon |= {name: value.strip() for name, value in headers.items() if name.startswith("x-amz-")}
    custom = "".join(f"{name}:{value}\n" for name, value in sorted(amazon.items()))
    plain = (request.method, headers.get("content-md5", ""), headers.get("content-type", ""), str(signature.expires))
    return "\n".join(plain) + f"\n{custom}{resource}{subresources(request)}"


def subresources(request: Request) -> str:
    parts = [name if values == [""] else f"{name}={values[0]}" for name, values in sorted(request.query.items()) if name in SIGNED]
    return f"?{'&'.join(parts)}" if parts else ""
