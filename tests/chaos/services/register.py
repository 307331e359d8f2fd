"""What a service must hold: a register has the one value that its answered writes gave it, and after a write without an answer one of two."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

#: What a register holds; None: it is not there.
Value = Any


class Unanswered(Exception):
    """The daemon was killed under a write, or before it: who asked does not know which."""


def asked(call: Callable[..., Any], **params: Any) -> Any:
    """The answer of a service. An error that is the caller's own fault is none that a kill explains, and is raised as it is."""
    try:
        return call(**params)
    except ReadTimeoutError:
        raise  # a request that may still be worked on leaves nothing to be judged
    except ClientError as error:
        # Where the error has no name the daemon was killed behind the head of its answer.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500 and not error.response["Error"]["Code"].isdecimal():
            raise
        raise Unanswered from error
    except (BotoCoreError, OSError) as error:
        raise Unanswered from error


class Store(Protocol):
    """Where the values really are, as somebody else sees it."""

    def read(self, name: str) -> Value: ...


@dataclass(frozen=True)
class Doubt:
    """A write that was not answered: the values before and after it, and whether all of it must be there or nothing."""

    changes: Mapping[str, tuple[Value, Value]]
    whole: bool


class Registers:
    """One writer's registers. ``write`` changes some of them by one call; ``settle`` looks what became of a write that was not answered.
    Whatever should not be so is a line in ``wrongs``. ``changed`` hears of each register that has got another value, in order."""

    def __init__(self, store: Store, chance: random.Random, changed: Callable[[str, Value], None] = lambda _name, _value: None) -> None:
        self.known: dict[str, Value] = {}
        self.counts: Counter[str] = Counter()
        self.wrongs: list[str] = []
        self._store = store
        self._chance = chance
        self._doubt: Doubt | None = None
        self._changed = changed

    def present(self) -> list[str]:
        return sorted(name for name, value in self.known.items() if value is not None)

    def write(self, changes: Mapping[str, Value], call: Callable[..., Any], *, whole: bool = False, **params: Any) -> Any:
        assert self._doubt is None, "settle the former write first"
        self._doubt = Doubt({name: (self.known.get(name), value) for name, value in changes.items()}, whole)
        answer = asked(call, **params)
        self._doubt = None
        self._know(changes)
        self.counts["acknowledged"] += 1
        return answer

    def settle(self, samples: int = 3) -> None:
        """Read what the last write was about, and some other registers. Raises Unanswered as long as there is nobody to ask."""
        if self._doubt is not None:
            self._decide(self._doubt)
            self._doubt = None
        for name in self._chance.sample(sorted(self.known), min(samples, len(self.known))):
            self.check(name)

    def _decide(self, doubt: Doubt) -> None:
        seen = {name: self._store.read(name) for name in doubt.changes}
        self.counts["unanswered"] += 1
        changed = [name for name, (before, after) in doubt.changes.items() if seen[name] == after != before]
        kept = [name for name, (before, after) in doubt.changes.items() if seen[name] == before != after]
        self.counts["of which done"] += bool(changed)
        for name, (before, after) in doubt.changes.items():
            if seen[name] not in (before, after):
                self.wrongs.append(f"{name} was {before}, was to become {after}, and is {seen[name]}")
        if doubt.whole and changed and kept:
            self.wrongs.append(f"half of a transaction is there: {changed} were changed, {kept} were not")
        self._know(seen)

    def _know(self, values: Mapping[str, Value]) -> None:
        for name, value in values.items():
            if value != self.known.get(name):
                self._changed(name, value)
        self.known.update(values)

    def check(self, name: str) -> None:
        """Whether a register still is what the answers said."""
        self.counts["checked"] += 1
        seen = self._store.read(name)
        if seen != self.known[name]:
            self.wrongs.append(f"{name} must be {self.known[name]} and is {seen}")
            self.known[name] = seen

    def check_all(self) -> None:
        for name in sorted(self.known):
            self.check(name)


class Promises:
    """What a writer knows whose writes come out somewhere else, each under a name: ``owed`` are those that were acknowledged, ``perhaps`` those that
    were not answered."""

    def __init__(self, seed: str) -> None:
        self.owed: set[str] = set()
        self.perhaps: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.wrongs: list[str] = []
        self._chance = random.Random(seed)
        self._number = 0

    def judge(self, found: Counter[str], lost: str, repeated: str, uncalled: str) -> None:
        """Each that is owed came out once, each that was not answered at most once, and nothing else. The texts say in this writer's words what is
        wrong with ``{name}``, which came ``{times}`` times."""
        self.counts["checked"] += sum(found.values())
        self.wrongs += [lost.format(name=name) for name in sorted(self.owed - set(found))]
        self.wrongs += [repeated.format(name=name, times=times) for name, times in found.items() if times > 1]
        self.wrongs += [uncalled.format(name=name) for name in sorted(set(found) - self.owed - self.perhaps)]
        self.counts["unanswered"] = len(self.perhaps)
        self.counts["of which done"] = len(self.perhaps & set(found))
