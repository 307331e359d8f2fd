"""Uploads by forms of browsers (POST Object): the signature is of the form's policy, and the policy says what may be sent."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit, urlunsplit

from eventflow.aws.body import Arriving
from eventflow.aws.operation import Call, Operation
from eventflow.aws.protocols.s3 import NAMESPACE, s3_resource
from eventflow.aws.protocols.xml_writer import DECLARATION, element
from eventflow.aws.reply import Reply
from eventflow.aws.request import Request
from eventflow.aws.s3.form import FormBody
from eventflow.aws.s3.objects import POST_OBJECT
from eventflow.aws.s3.post_policy import Policy, read_policy
from eventflow.aws.sigv2 import signed
from eventflow.aws.sigv4 import ALGORITHM, DATE, HASH, sign, signing_key
from eventflow.aws.wire import SpokenService
from eventflow.clock import Clock
from eventflow.errors import ServiceError

FORM = "multipart/form-data"
FILENAME = "${filename}"
#: Fields that have another name than the header of PutObject that they stand for.
HEADERS = {"acl": "x-amz-acl"}
#: Other fields of the form than those of PutObject's headers: who signs, and what is answered.
OWN = frozenset(
    (
        *("key", "bucket", "policy", "success_action_status", "success_action_redirect", "redirect", "signature", "awsaccesskeyid"),
        *("x-amz-signature", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-security-token"),
    )
)
STATUSES = {"200": 200, "201": 201, "204": 204}


def is_post_form(request: Request) -> bool:
    return request.method == "POST" and request.headers.get("content-type", "").lower().startswith(FORM)


class PostObject:
    """Answers forms; the object is put as ``PutObject`` puts it, and what that operation refuses is refused here."""

    def __init__(self, put_object: Operation) -> None:
        self._put_object = put_object

    async def serve(
        self, call: Call, request: Request, arriving: Arriving, spoken: SpokenService, credentials: Mapping[str, str] | None, clock: Clock
    ) -> Reply:
        """Store the form's file; ``credentials`` are None where nobody has to have any. The file is checked as it passes, and never in memory."""
        call.operation = POST_OBJECT
        if "content-length" not in request.headers:
            raise ServiceError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
        bucket, _, rest = s3_resource(request).removeprefix("/").partition("/")
        if not bucket or rest:
            raise ServiceError("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
        form = FormBody(arriving.pieces(), request.headers["content-type"])
        # AWS: "recognized by all form fields".
        fields = {name: value.replace(FILENAME, form.filename) for name, value in (await form.fields()).items()}
        key = the_key(fields)
        policy = self._admit(call, fields | {"bucket": bucket, "key": key}, credentials, clock)
        target = f"/{bucket}/{quote(key, safe='')}"
        params = put_parameters(target, fields, spoken)
        call.headers = put_headers(fields)
        call.body = within(form.file(), policy.sizes if policy else None)
        answer = await self._put_object(call, params) or {}
        return answered(fields, bucket, key, str(answer["ETag"]), f"{call.base_url}{target}", answer)

    def _admit(self, call: Call, fields: Mapping[str, str], credentials: Mapping[str, str] | None, clock: Clock) -> Policy | None:
        if "policy" not in fields:
            if credentials is None:
                return None
            raise ServiceError("AccessDenied", "Access Denied: the form has no policy, and nobody may write without one.", 403)
        if credentials is not None:
            call.access_key, call.region = signer(fields, credentials, call.region)
        policy = read_policy(fields["policy"])
        policy.check(fields, clock.now())
        return policy


def the_key(fields: Mapping[str, str]) -> str:
    if not fields.get("key"):
        raise missing("key")
    return fields["key"]


def missing(name: str) -> ServiceError:
    message = f"Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
    return ServiceError("InvalidArgument", message, ArgumentName=name, ArgumentValue="")


def signer(fields: Mapping[str, str], credentials: Mapping[str, str], region: str) -> tuple[str, str]:
    """The access key that signed the policy, and the region that it signed for. Raises where the signature is not right."""
    if "awsaccesskeyid" in fields:
        return old_signer(fields, credentials), region
    for name in ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature"):
        if not fields.get(name.lower()):
            raise missing(name)
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise ServiceError("InvalidArgument", f"X-Amz-Algorithm only supports {ALGORITHM}.", ArgumentName="X-Amz-Algorithm")
    parts = fields["x-amz-credential"].rsplit("/", 4)
    if len(parts) != 5 or parts[3:] != ["s3", "aws4_request"] or not DATE.fullmatch(fields["x-amz-date"]) or fields["x-amz-date"][:8] != parts[1]:
        message = 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/s3/aws4_request", of the day of X-Amz-Date.'
        raise ServiceError("InvalidArgument", message, ArgumentName="X-Amz-Credential", ArgumentValue=fields["x-amz-credential"])
    access_key, day, signed_region, service, _ = parts
    expected = sign(signing_key(secret_of(access_key, credentials), day, signed_region, service), fields["policy"]).hex()
    given = fields["x-amz-signature"].lower()
    check(expected, given if HASH.fullmatch(given) else "", fields["policy"], access_key)
    return access_key, signed_region


def old_signer(fields: Mapping[str, str], credentials: Mapping[str, str]) -> str:
    """The same for signature version 2, which boto3 still makes in the older regions."""
    if not fields.get("signature"):
        raise missing("signature")
    access_key = fields["awsaccesskeyid"]
    check(signed(secret_of(access_key, credentials), fields["policy"]).decode(), fields["signature"], fields["policy"], access_key)
    return access_key


def secret_of(access_key: str, credentials: Mapping[str, str]) -> str:
    secret = credentials.get(access_key)
    if secret is None:
        message = f"The AWS Access Key Id you provided does not exist in our records: {access_key!r}. `eventflow env` prints the key of this daemon."
        raise ServiceError("InvalidAccessKeyId", message, 403, AWSAccessKeyId=access_key)
    return secret


def check(expected: str, given: str, policy: str, access_key: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise ServiceError(
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
            403,
            AWSAccessKeyId=access_key,
            StringToSign=policy,
            SignatureProvided=given,
        )


def put_headers(fields: Mapping[str, str]) -> dict[str, str]:
    """The form's fields as the headers that they stand for. Headers are latin-1 on the wire; metadata in UTF-8 comes back as the same bytes."""
    named = {HEADERS.get(name, name): value for name, value in fields.items() if name not in OWN and not name.startswith("x-ignore-")}
    return {name: value.encode().decode("latin-1") for name, value in named.items()}


def put_parameters(target: str, fields: Mapping[str, str], spoken: SpokenService) -> dict[str, Any]:
    if "tagging" in fields:
        raise ServiceError(
            "NotImplemented", "The form was given tagging, which is not taken from forms here. Use PutObjectTagging.", 501, Header="tagging"
        )
    headers = put_headers(fields)
    request = Request("PUT", target, "", headers)
    put = spoken.operation("PutObject")
    assert put is not None
    return put.read(request, spoken.dialect.find(Request("PUT", target, "", {}), b""), b"")


async def within(pieces: AsyncIterator[bytes], sizes: tuple[int, int] | None) -> AsyncIterator[bytes]:
    """The file, as long as it is not larger than the policy says, nor ends before it is as large."""
    size = 0
    least, most = sizes or (0, None)
    async for piece in pieces:
        size += len(piece)
        if most is not None and size > most:
            message = "Your proposed upload exceeds the maximum allowed size"
            raise ServiceError("EntityTooLarge", message, ProposedSize=str(size), MaxSizeAllowed=str(most))
        yield piece
    if size < least:
        message = "Your proposed upload is smaller than the minimum allowed size"
        raise ServiceError("EntityTooSmall", message, ProposedSize=str(size), MinSizeAllowed=str(least))


def answered(fields: Mapping[str, str], bucket: str, key: str, etag: str, location: str, answer: Mapping[str, Any]) -> Reply:
    """What the form asked to be told: a page to go to, or a status."""
    headers = {"etag": etag, "location": location}
    if answer.get("VersionId"):
        headers["x-amz-version-id"] = answer["VersionId"]
    target = redirection(fields.get("success_action_redirect") or fields.get("redirect") or "")
    if target is not None:
        query = f"bucket={quote_plus(bucket)}&key={quote_plus(key)}&etag={quote_plus(etag)}"
        joined = f"{target.query}&{query}" if target.query else query
        return Reply(303, headers | {"location": urlunsplit(target._replace(query=joined))})
    status = STATUSES.get(fields.get("success_action_status", ""), 204)
    if status != 201:
        return Reply(status, headers)
    members = element("Location", location) + element("Bucket", bucket) + element("Key", key) + element("ETag", etag)
    body = f'{DECLARATION}<PostResponse xmlns="{NAMESPACE}">{members}</PostResponse>'
    return Reply(201, headers | {"content-type": "application/xml"}, body.encode())


def redirection(text: str) -> Any:
    """The address of a page to go to, or None: S3 ignores one that is none."""
    if not text.isascii() or any(character in text for character in "\r\n\0 "):
        return None
    try:
        address = urlsplit(text)
    except ValueError:
        return None
    return address if address.scheme in ("http", "https") and address.netloc else None
