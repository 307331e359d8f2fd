"""How many invocations may run at once: Lambda's account limit, and what functions have reserved of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from eventflow.errors import SettingError
from eventflow.function import Function

#: AWS: 1,000 for an account and region, of which 100 cannot be reserved (Lambda quotas).
ACCOUNT_LIMIT = 1000
ALWAYS_UNRESERVED = 100

RESERVED_EXCEEDED = "ReservedFunctionConcurrentInvocationLimitExceeded"
ACCOUNT_EXCEEDED = "ConcurrentInvocationLimitExceeded"


class Concurrency:
    """Counts the environments that run something. ``acquire`` gives None when a slot was taken, else Lambda's reason why there is none."""

    def __init__(self, limit: int = ACCOUNT_LIMIT) -> None:
        self.limit = limit
        self._shares: dict[str, dict[str, int]] = {}
        self._reserved: dict[str, int] = {}
        self._unreserved = limit
        self._busy: Counter[str] = Counter()
        self._unreserved_busy = 0

    def configure(self, functions: Iterable[Function], owner: str = "application") -> None:
        """Give these functions, all that this owner has, what they reserve. Raises SettingError where that is too much together with what the
        functions of others reserve."""
        reserves = {function.name: function.reserved_concurrency for function in functions if function.reserved_concurrency is not None}
        all_shares = {**self._shares, owner: reserves}
        reserved = {name: count for share in all_shares.values() for name, count in share.items()}
        total = sum(reserved.values())
        if total > self.limit - ALWAYS_UNRESERVED:
            shares = ", ".join(f"{name}: {count}" for name, count in sorted(reserved.items()))
            raise SettingError(
                f"The functions reserve {total} concurrent executions together ({shares}); "
                f"of the account's {self.limit}, {ALWAYS_UNRESERVED} must stay unreserved. Reserve at most {self.limit - ALWAYS_UNRESERVED}."
            )
        self._shares, self._reserved = all_shares, reserved
        self._unreserved = self.limit - total
        self._unreserved_busy = sum(count for name, count in self._busy.items() if name not in reserved)

    @property
    def reserved(self) -> int:
        """How much all functions have reserved together."""
        return sum(self._reserved.values())

    def allowed(self, function: str) -> int:
        """How many of this function may run at once at most."""
        return self._reserved.get(function, self._unreserved)

    def busy(self, function: str) -> int:
        return self._busy[function]

    def acquire(self, function: str) -> str | None:
        reserved = self._reserved.get(function)
        if reserved is not None:
            if self._busy[function] >= reserved:
                return RESERVED_EXCEEDED
        elif self._unreserved_busy >= self._unreserved:
            return ACCOUNT_EXCEEDED
        else:
            self._unreserved_busy += 1
        self._busy[function] += 1
        return None

    def release(self, function: str) -> None:
        self._busy[function] -= 1
        if function not in self._reserved:
            self._unreserved_busy -= 1
