"""Revisions: a change that names the one it was made for is not done to another."""

from __future__ import annotations

from eventflow.errors import ServiceError


def check_revision(asked: str | None, current: str, kind: str = "Function") -> None:
    """Raises PreconditionFailedException where another change came in between."""
    if asked and asked != current:
        raise ServiceError(
            "PreconditionFailedException",
            f"The Revision Id provided does not match the latest Revision Id. Call the Get{kind} API to retrieve the latest Revision Id",
            412,
            Type="User",
        )
