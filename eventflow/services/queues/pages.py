"""The tokens that lead from one page of a list of queues to the next."""

from __future__ import annotations

import base64
import binascii
import json

from eventflow.services.queues.errors import invalid


def token_after(name: str) -> str:
    """The token of the page after this name."""
    return base64.urlsafe_b64encode(json.dumps(name).encode()).decode()


def start(token: str | None) -> str:
    """The name after which a page begins; without a token, the first page's."""
    if not token:
        return ""
    try:
        after = json.loads(base64.b64decode(token.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise invalid("Invalid or expired next token.") from error
    if not isinstance(after, str):
        raise invalid("Invalid or expired next token.")
    return after
