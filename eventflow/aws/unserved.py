"""The answer to requests for services that are not served here, in a form that their SDKs can read."""

from __future__ import annotations

from collections.abc import Collection

from eventflow.aws.protocols.json_writer import dump
from eventflow.aws.protocols.query import is_form
from eventflow.aws.protocols.xml_writer import DECLARATION, element
from eventflow.aws.reply import Reply
from eventflow.aws.request import Request


def unserved(service: str, served: Collection[str], request: Request, request_id: str) -> Reply:
    """501 naming the service. Its model is not loaded for this: a stranger could ask for the large ones."""
    message = f"eventflow does not have the service {service!r} yet; it has {', '.join(sorted(served))}."
    headers = {"x-amzn-requestid": request_id}
    if is_form(request):
        error = element("Code", "NotImplemented") + element("Message", message)
        text = f"{DECLARATION}<ErrorResponse><Error>{error}</Error>{element('RequestId', request_id)}</ErrorResponse>"
        return Reply(501, headers | {"content-type": "text/xml"}, text.encode())
    target = "x-amz-target" in request.headers
    content_type = "application/x-amz-json-1.0" if target else "application/json"
    return Reply(
        501, headers | {"content-type": content_type, "x-amzn-errortype": "NotImplemented"}, dump({"__type": "NotImplemented", "message": message})
    )
