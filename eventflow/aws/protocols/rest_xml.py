"""REST with XML bodies, as S3 speaks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from botocore.model import ServiceModel, Shape, StructureShape

from eventflow.aws.protocols.modeled import ErrorShapes, blamed, status_of
from eventflow.aws.protocols.refusal import BadDocument, Missing, Unreadable
from eventflow.aws.protocols.rest import Rest
from eventflow.aws.protocols.xml_reader import XmlReaders, load_xml
from eventflow.aws.protocols.xml_writer import DECLARATION, XmlWriters, element
from eventflow.aws.reply import Reply
from eventflow.errors import ServiceError


class XmlCodec:
    content_type = "application/xml"
    blob_type = "binary/octet-stream"

    def __init__(self, namespace: str | None, roots: Mapping[str, str]) -> None:
        self._readers, self._writers = XmlReaders(), XmlWriters()
        self._namespace = f' xmlns="{namespace}"' if namespace else ""
        self._roots = roots

    def read_members(self, shape: StructureShape, members: Mapping[str, Shape]) -> Callable[[bytes], dict[str, Any]]:
        read = self._readers.structure(shape, members)
        return lambda body: read(load_xml(body)) if body else {}

    def read_payload(self, shape: Shape) -> Callable[[bytes], Any]:
        read = self._readers.of(shape)
        return lambda body: read([load_xml(body)])

    def write_members(self, operation: str, members: Mapping[str, Shape]) -> Callable[[Mapping[str, Any]], bytes]:
        return self._document(self._roots.get(operation, f"{operation}Result"), self._writers.members(members))

    def write_payload(self, name: str, shape: Shape) -> Callable[[Any], bytes]:
        if not isinstance(shape, StructureShape):
            raise NotImplementedError(f"The payload {name} is neither a structure nor raw, which the endpoint does not write.")
        return self._document(shape.serialization.get("name", self._roots.get(name, name)), self._writers.members(shape.members))

    def _document(self, root: str, write_members: Callable[[Mapping[str, Any], list[str]], None]) -> Callable[[Mapping[str, Any]], bytes]:
        def write_document(value: Mapping[str, Any]) -> bytes:
            out = [f"{DECLARATION}<{root}{self._namespace}>"]
            write_members(value, out)
            out.append(f"</{root}>")
            return "".join(out).encode()

        return write_document


class RestXml(Rest):
    """A service that speaks REST with XML."""

    family = "query"

    def __init__(self, model: ServiceModel, codec: XmlCodec | None = None) -> None:
        super().__init__(model, codec or XmlCodec(model.metadata.get("xmlNamespace"), {}))
        self._errors = ErrorShapes(model)

    def refuse(self, error: Unreadable) -> ServiceError:
        if isinstance(error, Missing) and len(error.path) == 1:
            return ServiceError("MissingParameter", f"The request must contain the parameter {error.path[0]}.")
        if isinstance(error, (BadDocument, Missing)):
            return ServiceError("MalformedXML", error.sentence)
        return ServiceError("InvalidArgument", error.sentence)

    def unknown(self, message: str) -> ServiceError:
        return ServiceError("UnknownOperationException", message, 404)

    def fault(self, error: ServiceError, request_id: str) -> Reply:
        status = status_of(error.status, self._errors.find(error.code))
        details = "".join(element(name, str(value)) for name, value in error.members.items())
        text = (
            f"{DECLARATION}<ErrorResponse><Error>{element('Type', blamed(status))}{element('Code', error.code)}{element('Message', error.message)}"
            f"{details}</Error>{element('RequestId', request_id)}</ErrorResponse>"
        )
        return Reply(status, {"content-type": "text/xml"}, text.encode())
