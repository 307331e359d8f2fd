"""How many bytes of request bodies the daemon holds at once, over all connections: what is more is refused, and comes again later."""

from __future__ import annotations

from types import TracebackType

from eventflow.errors import Overloaded

#: Ten synchronous invocations of the largest size, or sixty of the client's requests. What is made of them takes as much again, or twice.
MOST_BYTES = 64 << 20


class BodyBudget:
    """``with budget.share() as share`` around a request, ``share.take(size)`` before each piece of its body is kept."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most = most
        self.held = 0

    def share(self) -> Share:
        return Share(self)


class Share:
    """What one request holds of the budget; all of it is given back when the request ends."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._held = 0

    def foresee(self, size: int) -> None:
        """Raises ``Overloaded`` at once if a body of this size cannot be held now, before its sender has sent it in vain."""
        if self._budget.held + size > self._budget.most:
            raise Overloaded(
                f"The daemon holds {self._budget.held} bytes of other requests and takes {self._budget.most} at once: "
                f"nothing of this one ({size} bytes) was kept. Send it again."
            )

    def take(self, size: int) -> None:
        """Raises ``Overloaded`` if that is more than there is room for; bytes are counted as they come, so that a slow sender holds no room."""
        self.foresee(size)
        self._budget.held += size
        self._held += size

    def __enter__(self) -> Share:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._budget.held -= self._held
        self._held = 0
