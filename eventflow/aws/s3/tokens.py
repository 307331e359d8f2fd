"""Continuation tokens: opaque to clients, the last name of the page to us."""

from __future__ import annotations

import base64
import binascii

from eventflow.errors import ServiceError

#: Begins every token, so that one of a later form can be told apart.
FORM = b"1:"


def write_token(name: str) -> str:
    return base64.urlsafe_b64encode(FORM + name.encode()).decode()


def read_token(token: str | None) -> str | None:
    """The name in a token; raises ``InvalidArgument`` for one that was not written here."""
    if token is None:
        return None
    try:
        content = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        if not content.startswith(FORM):
            raise ValueError(token)
        return content.removeprefix(FORM).decode()
    except (binascii.Error, ValueError):
        raise ServiceError("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token") from None
