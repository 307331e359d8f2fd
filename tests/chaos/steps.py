"""At which steps a daemon is killed, one after the other: what both harnesses share."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping

from eventflow.faultpoint import POINTS

#: How often a point is tried at which nobody came by in time.
TRIES = 3


class Strikes:
    """Counts who was ``killed``, and which points were ``not_reached`` in time. ``victims`` are steps that are no fault points, and how often each is
    chosen among them. The same seed makes the same choices; when they strike is the machine's doing."""

    def __init__(self, kills: int, seed: int, points: tuple[str, ...], victims: Mapping[str, int]) -> None:
        self.kills, self.seed, self.points = kills, seed, points
        self.killed: Counter[str] = Counter()
        self.not_reached: Counter[str] = Counter()
        self._victims = victims
        self._chance = random.Random(seed)

    @property
    def is_complete(self) -> bool:
        """Whether there are enough kills for every fault point."""
        return self.kills >= len(self.points)

    def steps(self) -> Iterator[str]:
        """Fault points in turn and random victims, mixed, until enough were killed; each point at least once where there are enough kills for all."""
        left: list[str] = []
        cycles = 0
        while sum(self.killed.values()) < self.kills or (cycles == 1 and left and self.is_complete):
            if not left:
                cycles += 1
                left = [*self.points, *self._chance.choices(list(self._victims), list(self._victims.values()), k=max(1, len(self.points) // 2))]
                self._chance.shuffle(left)
            step = left.pop()
            yield step
            if step in POINTS and not self.killed[step] and self.not_reached[step] < TRIES:
                left.insert(0, step)
