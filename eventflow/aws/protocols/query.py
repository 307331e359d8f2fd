"""The query protocol: operation and parameters in a form, answers in XML, as SQS spoke it before JSON and IAM still does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.model import OperationModel, ServiceModel

from eventflow.aws.protocols.dialect import Match, ReadRequest, WriteReply
from eventflow.aws.protocols.form_reader import FormReaders, nested
from eventflow.aws.protocols.modeled import ErrorShapes, blamed, status_of
from eventflow.aws.protocols.query_codes import query_code
from eventflow.aws.protocols.refusal import BadDocument, Missing, UnknownOperation, Unreadable
from eventflow.aws.protocols.wire_names import WireNames
from eventflow.aws.protocols.xml_writer import DECLARATION, XmlWriters, element
from eventflow.aws.reply import Reply
from eventflow.aws.request import NotText, Request, decode_pairs
from eventflow.errors import ServiceError

#: More fields than any request of AWS has; a form of a million fields would only cost time.
MOST_FIELDS = 20_000
#: SQS's namespace has its first host name; its model has lost it.
LOST_HOSTS = {"sqs": "queue"}


class Query:
    """A service that speaks the query protocol."""

    names_operation_in_body = True
    family = "query"

    def __init__(self, model: ServiceModel) -> None:
        names = WireNames(singular=bool(model.is_query_compatible))
        self._model = model
        self._readers = FormReaders(names)
        self._writers = XmlWriters(names)
        self._errors = ErrorShapes(model)
        host = LOST_HOSTS.get(model.service_name, model.metadata["endpointPrefix"])
        self._namespace = model.metadata.get("xmlNamespace") or f"http://{host}.amazonaws.com/doc/{model.metadata['apiVersion']}/"

    def find(self, request: Request, body: bytes) -> Match:
        fields = self._fields(request, body)
        if "Action" not in fields:
            raise UnknownOperation("The parameter Action, which names the operation, is missing.")
        return Match(fields["Action"], fields)

    def _fields(self, request: Request, body: bytes) -> dict[str, str]:
        pairs = dict(request.query)
        if is_form(request):
            try:
                pairs |= decode_pairs(body.decode("latin-1"))
            except NotText as error:
                raise BadDocument(str(error)) from error
        if len(pairs) > MOST_FIELDS:
            raise BadDocument(f"The form has {len(pairs)} fields; at most {MOST_FIELDS} are read.")
        return {name: values[-1] for name, values in pairs.items()}

    def reader(self, operation: OperationModel) -> ReadRequest:
        shape = operation.input_shape
        if shape is None:
            return lambda request, match, body: {}
        read = self._readers.of(shape)
        takes_queue = "QueueUrl" in shape.members

        def read_request(request: Request, match: Match, body: bytes) -> dict[str, Any]:
            values = match.values
            if takes_queue and "QueueUrl" not in values and request.path != "/":
                # A queue's own address may stand for the parameter: POST /000000000000/orders?Action=SendMessage
                values = {**values, "QueueUrl": f"{request.base_url}{request.path}"}
            return read(nested(values))  # type: ignore[no-any-return]

        return read_request

    def writer(self, operation: OperationModel) -> WriteReply:
        shape, name = operation.output_shape, operation.name
        wrapper = (shape.serialization.get("resultWrapper") or f"{name}Result") if shape is not None else None
        write_members = self._writers.members(shape.members if shape is not None else {})

        def write(answer: Mapping[str, Any], request_id: str) -> Reply:
            out = [f'{DECLARATION}<{name}Response xmlns="{self._namespace}">']
            if wrapper is not None:
                out.append(f"<{wrapper}>")
                write_members(answer, out)
                out.append(f"</{wrapper}>")
            out.append(f"<ResponseMetadata>{element('RequestId', request_id)}</ResponseMetadata></{name}Response>")
            return Reply(200, {"content-type": "text/xml"}, "".join(out).encode())

        return write

    def refuse(self, error: Unreadable) -> ServiceError:
        if isinstance(error, Missing):
            return ServiceError("MissingParameter", f"The request must contain the parameter {error.where}.")
        if isinstance(error, BadDocument):
            return ServiceError("MalformedQueryString", error.message)
        return ServiceError("InvalidParameterValue", error.sentence)

    def unknown(self, message: str) -> ServiceError:
        return ServiceError("InvalidAction", message)

    def fault(self, error: ServiceError, request_id: str) -> Reply:
        shape = self._errors.find(error.code)
        code = query_code(self._model.service_name, error.code, shape)
        status = status_of(error.status, shape)
        details = "".join(element(name, str(value)) for name, value in error.members.items())
        text = (
            f'{DECLARATION}<ErrorResponse xmlns="{self._namespace}"><Error>{element("Type", blamed(status))}{element("Code", code)}'
            f"{element('Message', error.message)}{details}</Error>{element('RequestId', request_id)}</ErrorResponse>"
        )
        return Reply(status, {"content-type": "text/xml"}, text.encode())


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
