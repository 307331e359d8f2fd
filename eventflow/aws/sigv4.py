"""AWS Signature Version 4, seen from the server: who signed a request, and whether the signature is right."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from eventflow.aws.request import Request
from eventflow.clock import Clock
from eventflow.remembered import LONGEST_REMEMBERED, REMEMBERED

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
#: AWS: a request is taken within 15 minutes of the time it was signed at, a presigned one lives for at most seven days.
LARGEST_SKEW = 15 * 60
LONGEST_LIFE = 7 * 24 * 3600
HASH = re.compile(r"[0-9a-f]{64}")
DATE = re.compile(r"\d{8}T\d{6}Z")
AUTHORIZATION = re.compile(r"\s*AWS4-HMAC-SHA256\s+(.*)", re.DOTALL)
#: An address that is its own canonical form: nothing to encode, no empty and no dot segments.
PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?")
#: Stands for the signature in headers whose beginnings are remembered. Only what a text says is kept, never whether it is right: a stranger who fills
#: the memory gains nothing.
BLANK = "0" * 64
#: Enough for every (day, region, service) of a few keys; a stranger cannot fill it, since only known keys are derived from.
SIGNING_KEYS = 256


class Reason(StrEnum):
    """Why a signature was refused; ``refusals.py`` gives each the name that the caller's protocol has for it."""

    MISSING = "missing"
    INCOMPLETE = "incomplete"
    INCOMPLETE_QUERY = "incomplete query"
    UNSUPPORTED = "unsupported"
    UNKNOWN_KEY = "unknown key"
    MISMATCH = "mismatch"
    SKEWED = "skewed"
    EXPIRED = "expired"
    NOT_SIGNED = "not signed"
    PAYLOAD_MISSING = "payload missing"
    PAYLOAD_INVALID = "payload invalid"
    PAYLOAD_MISMATCH = "payload mismatch"


class Refused(Exception):
    """A request was not signed as it must be; ``details`` are members of the error for S3."""

    def __init__(self, reason: Reason, message: str, **details: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details = details


class Signature(NamedTuple):
    """What a request says of its own signature. ``date`` is as it was signed and ``signed_at`` the same in Unix seconds; ``presigned_for`` is the
    life in seconds of a presigned address, else None."""

    access_key: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str
    date: str
    signed_at: float
    presigned_for: int | None = None

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


class SigningKey:
    """HMAC-SHA256 (RFC 2104) with one key, whose own blocks are hashed once: each text then takes a third of the time."""

    def __init__(self, key: bytes) -> None:
        block = key.ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in block))
        self._outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in block))

    def sign(self, text: str) -> str:
        """The signature of a text, in hexadecimal."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return outer.hexdigest()


@dataclass(slots=True)
class SigningKeys:
    """Derived keys; deriving one costs four HMACs. They are known by the secret itself, so that another secret for the same access key is another
    key, as another day, region or service is."""

    secrets: Mapping[str, str]
    _known: dict[tuple[str, str, str, str], SigningKey] = field(default_factory=dict)

    def of(self, signature: Signature) -> SigningKey | None:
        """The signing key, or None for an access key that nobody here has."""
        secret = self.secrets.get(signature.access_key)
        if secret is None:
            return None
        name = (secret, signature.day, signature.region, signature.service)
        key = self._known.get(name)
        if key is None:
            if len(self._known) >= SIGNING_KEYS:
                self._known.clear()
            key = self._known[name] = SigningKey(signing_key(*name))
        return key


class Claim(NamedTuple):
    """A request whose signature is complete, of a known key and in time; whether it is right, ``check`` tells."""

    signature: Signature
    key: SigningKey
    request: Request

    def check(self, payload_hash: str) -> None:
        """Compare the signature for a body of this hash (or the word that stands in its place). Raises Refused."""
        canonical = canonical_request(self.request, self.signature, payload_hash)
        to_sign = string_to_sign(self.signature, canonical)
        if not hmac.compare_digest(self.key.sign(to_sign), self.signature.value):
            raise Refused(
                Reason.MISMATCH,
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method; "
                "`eventflow env` prints the key of this daemon.",
                AWSAccessKeyId=self.signature.access_key,
                StringToSign=to_sign,
                SignatureProvided=self.signature.value,
                CanonicalRequest=canonical,
            )


class Verifier:
    """Checks signatures against a mapping from access key ids to secrets."""

    def __init__(self, secrets: Mapping[str, str], clock: Clock) -> None:
        self._keys = SigningKeys(secrets)
        self._clock = clock

    def claim(self, request: Request, signature: Signature | None) -> Claim:
        """All that can be checked without the body, except the signature itself. Raises Refused."""
        if signature is None:
            raise Refused(Reason.MISSING, "Missing Authentication Token: the request is not signed. `eventflow env` prints the key to sign with.")
        key = self._keys.of(signature)
        if key is None:
            raise Refused(
                Reason.UNKNOWN_KEY,
                f"The access key {signature.access_key!r} does not exist in our records. `eventflow env` prints the key of this daemon.",
                AWSAccessKeyId=signature.access_key,
            )
        self._check_time(signature)
        check_signed_headers(request, signature)
        return Claim(signature, key, request)

    def _check_time(self, signature: Signature) -> None:
        now = self._clock.now()
        signed_at = signature.signed_at
        if signature.presigned_for is None and abs(now - signed_at) > LARGEST_SKEW:
            raise Refused(
                Reason.SKEWED,
                "The difference between the request time and the current time is too large: "
                f"it was signed at {signature.date}, and here it is {compact(now)}. Set the clock that is wrong.",
                RequestTime=signature.date,
                ServerTime=compact(now),
                MaxAllowedSkewMilliseconds=str(LARGEST_SKEW * 1000),
            )
        if signature.presigned_for is not None and signed_at - now > LARGEST_SKEW:
            raise Refused(Reason.EXPIRED, f"Request is not valid yet: it was signed for {signature.date}, and here it is {compact(now)}.")
        if signature.presigned_for is not None and now > signed_at + signature.presigned_for:
            raise Refused(
                Reason.EXPIRED,
                "Request has expired",
                **{"X-Amz-Expires": str(signature.presigned_for)},
                Expires=compact(signed_at + signature.presigned_for),
                ServerTime=compact(now),
            )


def read_signature(request: Request) -> Signature | None:
    """The signature in the Authorization header or in a presigned address; None if there is neither. Raises Refused."""
    header = request.headers.get("authorization")
    if header is not None:
        return from_header(request, header)
    if "X-Amz-Algorithm" in request.query_string or "X-Amz-Signature" in request.query_string:
        return from_query({name: values[0] for name, values in request.query.items()})
    return None


class Head(NamedTuple):
    """What a signature says beside its date."""

    access_key: str
    day: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    value: str


def from_header(request: Request, header: str) -> Signature:
    return usual_signature(header, request.headers.get("x-amz-date", "")) or made(read_head(header), date_of(request), None, Reason.INCOMPLETE)


def usual_signature(header: str, date: str) -> Signature | None:
    """The signature of a header as the SDKs write it: its value comes last, and what stands before it is the same in all requests of a client in one
    second, so it is read once."""
    beginning, _, value = header.rpartition("Signature=")
    if len(beginning) > LONGEST_REMEMBERED or not HASH.fullmatch(value) or not DATE.fullmatch(date):
        return None
    known = signature_before(beginning, date)
    return None if known.value != BLANK else Signature(*known[:5], value, *known[6:])


@lru_cache(REMEMBERED)
def signature_before(beginning: str, date: str) -> Signature:
    """The signature of a header that goes on with its value, which is left blank here. If it is not, the header has its value somewhere else."""
    return made(read_head(f"{beginning}Signature={BLANK}"), date, None, Reason.INCOMPLETE)


def read_head(header: str) -> Head:
    found = AUTHORIZATION.fullmatch(header)
    if found is None:
        raise Refused(Reason.UNSUPPORTED, "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.")
    parts = dict(part.strip().partition("=")[::2] for part in found[1].split(","))
    absent = [name for name in ("Credential", "SignedHeaders", "Signature") if not parts.get(name)]
    if absent:
        raise Refused(Reason.INCOMPLETE, f"Authorization header requires {' and '.join(repr(name) for name in absent)}.")
    return checked_head(parts["Credential"], parts["SignedHeaders"], parts["Signature"], Reason.INCOMPLETE)


def from_query(query: Mapping[str, str]) -> Signature:
    absent = [name for name in PRESIGNED if not query.get(name)]
    if absent:
        raise Refused(Reason.INCOMPLETE_QUERY, f"Query-string authentication version 4 requires {', '.join(absent)}.")
    if query["X-Amz-Algorithm"] != ALGORITHM:
        raise Refused(Reason.INCOMPLETE_QUERY, f"X-Amz-Algorithm only supports {ALGORITHM}.")
    life, date = query["X-Amz-Expires"], query["X-Amz-Date"]
    if not (life.isascii() and life.isdigit() and len(life) <= 9 and int(life) <= LONGEST_LIFE):
        raise Refused(Reason.INCOMPLETE_QUERY, f"X-Amz-Expires must be a number of seconds up to {LONGEST_LIFE} (seven days), not {life!r}.")
    if not DATE.fullmatch(date):
        raise Refused(Reason.INCOMPLETE_QUERY, "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\".")
    head = checked_head(query["X-Amz-Credential"], query["X-Amz-SignedHeaders"], query["X-Amz-Signature"], Reason.INCOMPLETE_QUERY)
    return made(head, date, int(life), Reason.INCOMPLETE_QUERY)


PRESIGNED = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")


def checked_head(credential: str, signed_headers: str, value: str, reason: Reason) -> Head:
    if not f"{credential}{signed_headers}{value}".isascii():
        raise Refused(reason, "The Credential, the SignedHeaders and the Signature are ASCII.")
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not parts[0]:
        raise Refused(reason, f"The Credential must have the form <access key>/<yyyyMMdd>/<region>/<service>/aws4_request, not {credential!r}.")
    access_key, day, region, service, _ = parts
    return Head(access_key, day, region, service, tuple(signed_headers.lower().split(";")), value)


def made(head: Head, date: str, life: int | None, reason: Reason) -> Signature:
    if not date.startswith(head.day) or len(head.day) != 8:
        raise Refused(reason, f"The date in the Credential ({head.day!r}) is not the day of the request ({date}).")
    try:
        signed_at = instant_of(date)
    except ValueError as error:
        raise Refused(reason, f"{date!r} is not a date.") from error
    return Signature(*head, date, signed_at, life)


def date_of(request: Request) -> str:
    """When a request with an Authorization header was signed, in the compact form."""
    compact_date = request.headers.get("x-amz-date")
    if compact_date is not None and DATE.fullmatch(compact_date):
        return compact_date
    plain_date = request.headers.get("date")
    if compact_date is None and plain_date is not None:
        try:
            return plain_date if DATE.fullmatch(plain_date) else compact(parsedate_to_datetime(plain_date).timestamp())
        except (ValueError, OverflowError):
            pass
    raise Refused(Reason.INCOMPLETE, "Authorization header requires existence of either a 'X-Amz-Date' (yyyyMMdd'T'HHmmss'Z') or a 'Date' header.")


def check_signed_headers(request: Request, signature: Signature) -> None:
    """Headers that change what a request means must be under the signature."""
    signed = signature.signed_headers
    if "host" not in signed:
        raise Refused(Reason.NOT_SIGNED, "The header host must be signed.", HeadersNotSigned="host")
    must = "x-amz-" if signature.service == "s3" else "x-amz-target"
    unsigned = [name for name in request.headers if name.startswith(must) and name not in signed]
    if unsigned:
        names = ", ".join(unsigned)
        raise Refused(Reason.NOT_SIGNED, f"There were headers present in the request which were not signed: {names}.", HeadersNotSigned=names)


# The canonical request, as "Create a signed AWS API request" in the IAM User Guide defines it.


def canonical_request(request: Request, signature: Signature, payload_hash: str) -> str:
    received = request.headers
    headers = "".join([f"{name}:{trimmed(received.get(name, ''))}\n" for name in signature.signed_headers])
    path = request.path
    if path != "/" and not (path and PLAIN_PATH.fullmatch(path)):
        path = s3_path(path) if signature.service == "s3" else encoded_path(path)
    query = canonical_query(request.query_string, presigned=signature.presigned_for is not None)
    return f"{request.method}\n{path}\n{query}\n{headers}\n{';'.join(signature.signed_headers)}\n{payload_hash}"


def trimmed(value: str) -> str:
    value = value.strip(" \t")
    return re.sub(" +", " ", value) if "  " in value else value


def s3_path(path: str) -> str:
    """S3 signs the path encoded once, as it is."""
    return encoded(unquote_to_bytes(path.encode("latin-1")), "/")


def encoded_path(path: str) -> str:
    """All other services sign the path as it is on the wire, without dot segments, encoded once more."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    normal = "/" + "/".join(segments) + ("/" if path.endswith("/") and segments else "")
    return encoded(normal.encode("latin-1"), "/")


def canonical_query(query_string: str, *, presigned: bool) -> str:
    if not query_string:
        return ""
    pairs = []
    for pair in query_string.split("&"):
        name, _, value = pair.partition("=")
        if pair and not (presigned and name == "X-Amz-Signature"):
            pairs.append((recoded(name), recoded(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def recoded(text: str) -> str:
    return text if text.isalnum() and text.isascii() else encoded(unquote_to_bytes(text.replace("+", " ").encode("latin-1")), "")


def encoded(octets: bytes, safe: str) -> str:
    return quote_from_bytes(octets, safe=f"-._~{safe}")


def string_to_sign(signature: Signature, canonical: str) -> str:
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    return f"{ALGORITHM}\n{signature.date}\n{signature.scope}\n{digest}"


def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = sign(key, part)
    return key


def sign(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


@lru_cache(REMEMBERED)
def instant_of(date: str) -> float:
    """A date of the form 20130524T000000Z in Unix seconds; ``strptime`` would take as long as all HMACs of a signature together."""
    parts = (date[:4], date[4:6], date[6:8], date[9:11], date[11:13], date[13:15])
    year, month, day, hour, minute, second = map(int, parts)
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()


def compact(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).strftime("%Y%m%dT%H%M%SZ")
