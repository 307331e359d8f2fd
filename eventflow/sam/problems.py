"""What is wrong with a template, gathered so that all of it is told at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from eventflow.errors import LoadError


class TemplateError(LoadError):
    """The template cannot be read, or a part of it means nothing: told at once, for nothing after it could be trusted."""


@dataclass(frozen=True)
class Problem:
    """``where`` is the resource with its type and the property's path. What is ``absent`` is AWS's and not here: ``--lenient`` leaves it out."""

    where: str
    text: str
    absent: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass
class Problems:
    """Everything that is refused. ``lenient`` leaves out what is not to be had here and lists it; what is wrong stays wrong."""

    lenient: bool = False
    found: list[Problem] = field(default_factory=list)

    def absent(self, where: str, text: str) -> None:
        """AWS has it and eventflow does not."""
        self._add(Problem(where, text, True))

    def wrong(self, where: str, text: str) -> None:
        """AWS would refuse it too, or it needs the user's hand."""
        self._add(Problem(where, text, False))

    def _add(self, problem: Problem) -> None:
        if problem not in self.found:
            self.found.append(problem)

    @property
    def skipped(self) -> list[Problem]:
        return [problem for problem in self.found if problem.absent] if self.lenient else []

    def refuse(self, template: str) -> None:
        """Raises LoadError with every problem that is not skipped."""
        left = [problem for problem in self.found if not (self.lenient and problem.absent)]
        if not left:
            return
        remedy = " What eventflow does not have is left out with --lenient." if any(problem.absent for problem in left) else ""
        count = "one thing" if len(left) == 1 else f"{len(left)} things"
        lines = "".join(f"\n  {problem}" for problem in left)
        raise LoadError(f"{template} is refused for {count}, and nothing was started.{remedy}{lines}")
