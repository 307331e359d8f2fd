"""Receipt handles: which receive of which message a consumer may delete or prolong."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from eventflow.errors import ServiceError

CONTENT = re.compile("([0-9]{1,18}):([0-9]{1,18}):([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The ``receives``-th receive of the message ``id``. Ids are never used again and receives count on, so a handle names one receive for ever."""

    queue: int
    id: int
    receives: int

    def handle(self) -> str:
        return base64.urlsafe_b64encode(f"{self.queue}:{self.id}:{self.receives}".encode()).decode()

    @classmethod
    def parse(cls, handle: str, queue: int) -> Receipt:
        """The receipt behind a handle of this queue; raises ReceiptHandleIsInvalid for anything else."""
        try:
            match = CONTENT.fullmatch(base64.b64decode(handle.encode(), altchars=b"-_", validate=True).decode("ascii"))
        except (binascii.Error, ValueError):
            match = None
        if match is None or int(match[1]) != queue:
            raise ServiceError("ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.', 404)
        return cls(queue, int(match[2]), int(match[3]))
