"""IAM authorization: requests that are signed for ``execute-api`` with a key of the daemon."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from eventflow.aws.request import NotText
from eventflow.aws.request import Request as SignedRequest
from eventflow.aws.sigv4 import Reason, Refused, Signature, Verifier, compact, read_signature
from eventflow.clock import Clock
from eventflow.gateway.apis import Route
from eventflow.gateway.request import Request
from eventflow.gateway.seams import Addition, Findings, Refusal

SERVICE = "execute-api"
#: A larger body is hashed in a thread.
LARGEST_AT_ONCE = 256 * 1024
SKEW_MINUTES = 15

#: Each reason with its gateway response and the text of REST APIs; None is the reason's own. HTTP APIs say "Forbidden" to all of them.
REFUSALS: dict[Reason, tuple[str, str | None]] = {
    Reason.MISSING: ("MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token"),
    Reason.INCOMPLETE: ("INCOMPLETE_SIGNATURE", None),
    Reason.INCOMPLETE_QUERY: ("INCOMPLETE_SIGNATURE", None),
    Reason.UNSUPPORTED: ("INCOMPLETE_SIGNATURE", None),
    Reason.UNKNOWN_KEY: ("UNRECOGNIZED_CLIENT", "The security token included in the request is invalid."),
    Reason.MISMATCH: ("INVALID_SIGNATURE", None),
    Reason.NOT_SIGNED: ("INVALID_SIGNATURE", None),
    Reason.SKEWED: ("INVALID_SIGNATURE", None),
    Reason.EXPIRED: ("INVALID_SIGNATURE", None),
}
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. "
    "Consult the service documentation for details."
)


class IamStep:
    """Comes after the body, whose hash is under the signature."""

    early = False

    def __init__(self, verifier: Verifier, account: str, region: str, clock: Clock) -> None:
        self._verifier = verifier
        self._account = account
        self._region = region
        self._clock = clock

    async def __call__(self, request: Request, route: Route, findings: Findings) -> Addition | Refusal | None:
        found = await self._checked(request, route)
        if isinstance(found, Signature):
            return self._addition(found, route)
        text = None if found.message is None else {"authorizer.error": found.message.partition("\n")[0]}
        message = found.message if route.api.protocol in ("REST", "WEBSOCKET") else None  # the others all say "Forbidden", and no more
        return Refusal(found.kind, message=message, log=text or {})

    async def _checked(self, request: Request, route: Route) -> Signature | Refusal:
        headers = {**request.header_map, "host": request.host}  # the client's own, where a trusted proxy tells it
        signed = SignedRequest(request.method, request.raw_path, request.query, headers, request.scheme)
        try:
            signature = read_signature(signed)
            service = "lambda" if route.api.protocol == "URL" else SERVICE
            if signature is not None and signature.service != service:
                return Refusal("INVALID_SIGNATURE", message=f"Credential should be scoped to correct service: '{service}'.")
            if signature is not None and signature.region != self._region:
                return Refusal("INVALID_SIGNATURE", message=f"Credential should be scoped to a valid region, not '{signature.region}'.")
            claim = self._verifier.claim(signed, signature)
            claim.check(await hash_of(request.body))
        except Refused as error:
            return self._refusal(error)
        except NotText:
            return Refusal("BAD_REQUEST")
        return claim.signature

    def _refusal(self, error: Refused) -> Refusal:
        kind, text = REFUSALS.get(error.reason, ("INVALID_SIGNATURE", None))
        if error.reason is Reason.MISMATCH:
            text = (
                f"{MISMATCH}\n\nThe Canonical String for this request should have been\n'{error.details['CanonicalRequest']}'\n\n"
                f"The String-to-Sign should have been\n'{error.details['StringToSign']}'\n"
            )
        elif error.reason is Reason.SKEWED:
            text = self._skewed(error.details["RequestTime"])
        return Refusal(kind, message=error.message if text is None else text)

    def _skewed(self, signed_at: str) -> str:
        now = self._clock.now()
        here, edge = compact(now), SKEW_MINUTES * 60
        if signed_at > here:
            return f"Signature not yet current: {signed_at} is still later than {compact(now + edge)} ({here} + {SKEW_MINUTES} min.)"
        return f"Signature expired: {signed_at} is now earlier than {compact(now - edge)} ({here} - {SKEW_MINUTES} min.)"

    def _addition(self, signature: Signature, route: Route) -> Addition:
        """The daemon's keys are all of one user: the account's own."""
        account, key = self._account, signature.access_key
        arn = f"arn:aws:iam::{account}:root"
        identity: dict[str, Any] = {"accountId": account, "caller": account, "accessKey": key, "user": account, "userArn": arn}
        iam = {
            "accessKey": key,
            "accountId": account,
            "callerId": account,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": arn,
            "userId": account,
        }
        return Addition(authorizer={"iam": iam} if route.api.protocol in ("HTTP", "URL") else None, identity=identity)


async def hash_of(body: bytes) -> str:
    if len(body) > LARGEST_AT_ONCE:
        return (await asyncio.to_thread(hashlib.sha256, body)).hexdigest()
    return hashlib.sha256(body).hexdigest()
