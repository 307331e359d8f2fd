"""What the endpoint asks of a protocol: find the operation, read its parameters, write its answer or its error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from botocore.model import OperationModel

from eventflow.aws.protocols.refusal import Unreadable
from eventflow.aws.reply import Reply
from eventflow.aws.request import Request
from eventflow.errors import ServiceError


class Match(NamedTuple):
    """The operation that a request is for, and what was read to find it: address labels (REST) or form fields (query)."""

    operation: str
    values: Mapping[str, str]


#: From a request, its match and its body to the operation's parameters. Raises Unreadable.
ReadRequest = Callable[[Request, Match, bytes], dict[str, Any]]
#: From an operation's answer and the request id to a reply, without the headers that every reply has.
WriteReply = Callable[[Mapping[str, Any], str], Reply]


class Dialect(Protocol):
    """One service in one protocol.

    ``names_operation_in_body`` says that ``find`` needs the body. ``family`` is whose names this service has for refused signatures
    (see ``refusals.py``). ``refuse`` gives a request's unreadable values this protocol's error; ``find`` raises UnknownOperation, which
    ``unknown`` turns into an error.
    """

    names_operation_in_body: bool
    family: str

    def find(self, request: Request, body: bytes) -> Match: ...
    def reader(self, operation: OperationModel) -> ReadRequest: ...
    def writer(self, operation: OperationModel) -> WriteReply: ...
    def refuse(self, error: Unreadable) -> ServiceError: ...
    def unknown(self, message: str) -> ServiceError: ...
    def fault(self, error: ServiceError, request_id: str) -> Reply: ...
