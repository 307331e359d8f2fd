"""The seam between the endpoint and a service: an operation is an async method from a Call and parsed parameters to a response mapping."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from eventflow.aws.presigner import Presigner

#: What an operation is: parameters and response are as botocore's service model shapes them (PascalCase members, ``datetime`` timestamps or
#: Unix seconds,
#: bytes for blobs). A streaming input is ``call.body``; a streaming output member may be bytes or an async iterator of bytes.
Operation = Callable[["Call", dict[str, Any]], Awaitable[Mapping[str, Any] | None]]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Call:
    """One verified request. ``trace`` is its X-Amzn-Trace-Id header, ``base_url`` the scheme and host that the client used,
    ``headers`` are lower-case. ``body`` yields the decoded body of a streaming input (chunk framing removed), else it is empty; reading it may raise
    ``ServiceError`` when a signature or checksum in it is wrong: keep nothing of such a body. An operation may set ``status`` and add
    ``response_headers``. ``presigner`` makes addresses of this endpoint that need no credentials.
    """

    service: str
    operation: str
    region: str
    account: str
    access_key: str
    request_id: str
    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    trace: str | None = None
    presigner: Presigner | None = None
    body: AsyncIterator[bytes] | None = None
    status: int | None = None
    response_headers: dict[str, str] = field(default_factory=dict)


class Service(Protocol):
    """One AWS service: botocore's name of it (``s3``, ``dynamodb``, ``sqs``, ``lambda``) and what it can do."""

    @property
    def name(self) -> str: ...
    @property
    def operations(self) -> Mapping[str, Operation]: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What of an operation is not there: in words, and the names of what it refuses."""

    partly: str = ""
    refuses: tuple[str, ...] = ()


def operation(name: str, *, partly: str = "", refuses: Iterable[str] = ()) -> Callable[[F], F]:
    """Mark a method as the service's operation of this name.

    ``partly`` says in a few words what of it is not there, ``refuses`` names parameters and values that are refused: give it the table that the code
    refuses by. Both go into docs/conformance.md; parameters that are refused with ``NotImplemented`` and their name are found without.
    """

    def mark(method: F) -> F:
        method.__aws_operation__ = name  # type: ignore[attr-defined]
        method.__aws_limits__ = Limits(partly, tuple(refuses))  # type: ignore[attr-defined]
        return method

    return mark


def limits_of(operation: Operation) -> Limits:
    """What an operation is declared to lack; nothing where nothing was declared."""
    limits: Limits = getattr(operation, "__aws_limits__", Limits())
    return limits


def operations_of(service: object) -> dict[str, Operation]:
    """The marked methods of a service, by operation name."""
    found = {}
    for attribute in dir(type(service)):
        name = getattr(getattr(type(service), attribute), "__aws_operation__", None)
        if name is not None:
            found[name] = getattr(service, attribute)
    return found
