"""What S3 does in its own way: buckets in the host name, names of root elements, and errors without a wrapper."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import ServiceModel, Shape

from eventflow.aws.protocols.modeled import status_of
from eventflow.aws.protocols.refusal import BadDocument, Unreadable
from eventflow.aws.protocols.rest_xml import RestXml, XmlCodec
from eventflow.aws.protocols.xml_writer import DECLARATION, element, escape
from eventflow.aws.reply import Reply
from eventflow.aws.request import Request
from eventflow.errors import ServiceError
from eventflow.remembered import remembered

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
#: Root elements as the S3 API reference shows them; the service model does not have them, and only some SDKs look. Others are "<Operation>Result".
ROOTS = {
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAccelerateConfiguration": "AccelerateConfiguration",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "GetObjectTagging": "Tagging",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListDirectoryBuckets": "ListAllMyDirectoryBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListParts": "ListPartsResult",
}
WITH_S3_IN_HOST = re.compile(r"(?P<bucket>.+)\.s3[.-].+")
ON_LOCALHOST = re.compile(r"(?P<bucket>.+)\.localhost")


class S3Codec(XmlCodec):
    def __init__(self) -> None:
        super().__init__(NAMESPACE, ROOTS)

    def write_members(self, operation: str, members: Mapping[str, Shape]) -> Callable[[Mapping[str, Any]], bytes]:
        if operation != "GetBucketLocation":
            return super().write_members(operation, members)
        # The one answer whose only member is the root element itself.
        return lambda answer: (
            f'{DECLARATION}<LocationConstraint xmlns="{NAMESPACE}">{escape(answer.get("LocationConstraint") or "")}</LocationConstraint>'.encode()
        )


class S3(RestXml):
    """S3's REST with XML."""

    family = "s3"

    def __init__(self, model: ServiceModel) -> None:
        super().__init__(model, S3Codec())

    def path(self, request: Request) -> str:
        return s3_resource(request)

    def refuse(self, error: Unreadable) -> ServiceError:
        if isinstance(error, BadDocument) or len(error.path) > 1:
            return ServiceError(
                "MalformedXML", f"The XML you provided was not well-formed or did not validate against our published schema: {error.sentence}"
            )
        return ServiceError("InvalidArgument", error.message, ArgumentName=error.where)

    def unknown(self, message: str) -> ServiceError:
        return ServiceError("MethodNotAllowed", f"The specified method is not allowed against this resource. {message}", 405)

    def fault(self, error: ServiceError, request_id: str) -> Reply:
        status = status_of(error.status, self._errors.find(error.code))
        details = "".join(element(name, str(value)) for name, value in error.members.items() if value is not None)
        text = (
            f"{DECLARATION}<Error>{element('Code', error.code)}{element('Message', error.message)}{details}"
            f"{element('RequestId', request_id)}{element('HostId', host_id(request_id))}</Error>"
        )
        return Reply(status, {"content-type": "application/xml"}, text.encode())


def s3_resource(request: Request) -> str:
    """The path with the bucket in it, wherever the bucket was."""
    bucket = bucket_in(request.host)
    return request.path if bucket is None else f"/{bucket}{request.path}"


def host_id(request_id: str) -> str:
    """S3's second request id, x-amz-id-2."""
    return base64.b64encode(f"eventflow/{request_id}".encode()).decode("ascii")


@remembered()
def bucket_in(host_header: str) -> str | None:
    """The bucket of a host-style address: ``bucket.localhost:4566``, ``bucket.s3.anything``; None for path-style ones and IP addresses."""
    host = host_header.rpartition(":")[0] if re.search(r":\d+$", host_header) else host_header
    if "." not in host or host.startswith("s3.") or is_ip(host):
        return None
    found = WITH_S3_IN_HOST.fullmatch(host) or ON_LOCALHOST.fullmatch(host)
    return found["bucket"] if found else None


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
