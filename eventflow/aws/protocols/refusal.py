"""Why a request's values cannot be read: each protocol names these reasons in its own words."""

from __future__ import annotations


class Unreadable(ValueError):
    """A value does not have the form that the service model gives it. ``path`` leads to it, outermost member first."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.path: list[str] = []

    def inside(self, name: str) -> Unreadable:
        self.path.insert(0, name)
        return self

    @property
    def where(self) -> str:
        return ".".join(self.path)

    @property
    def sentence(self) -> str:
        """What is wrong, and where."""
        return f"{self.message.rstrip('.')} (in {self.where})." if self.path else self.message


class Missing(Unreadable):
    """A required member is absent."""

    def __init__(self, member: str) -> None:
        super().__init__(f"The required member {member} is missing.")
        self.path.append(member)


class BadDocument(Unreadable):
    """A body is not JSON, XML or a form at all."""


class UnknownOperation(Exception):
    """The request names an operation that the service's model does not have."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
